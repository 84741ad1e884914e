"""Shapefiles and their tables: the parts side by side, their encoding, and whether they are whole.

GDAL gives what it can read of a damaged shapefile and says nothing of the rest, so sizes are compared before it reads and
geometries after it.
"""

from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt

from lakehouse.contract import Limits
from lakehouse.errors import ContractError, DeliveryUnreadable
from lakehouse.formats import archive, encoding
from lakehouse.program import chosen
from lakehouse.source import Dialect

_PARTS = (".shp", ".shx", ".dbf", ".prj", ".cpg")
_LANGUAGES = {0x4D: "gbk", 0x4F: "big5", 0x78: "big5", 0x7A: "gbk", 0x03: "cp1252", 0x01: "cp437", 0x02: "cp850"}
"""Encodings by the language number in a DBF's head, byte 29."""
_DELETED, _NO_SHAPE = ord("*"), 0
_HEAD, _INDEX_HEAD = 32, 100

Present = npt.NDArray[np.bool_]


def gather(path: Path, folder: Path, source: Dialect, limits: Limits, where: str) -> Path:
    """The parts of one shapefile in `folder`: those in a zip, unpacked, or the siblings of a .shp. Returns its .shp.

    Raises DeliveryUnreadable where a part is missing or it isn't clear which shapefile is meant.
    """
    if not archive.is_archive(path.name):
        for part in path.parent.glob(f"{path.stem}.*"):
            (folder / f"layer{part.suffix.lower()}").symlink_to(part.absolute())
    else:
        with archive.opened(path, None, limits, where) as members:
            stem = _chosen([PurePosixPath(name) for name in members if name.lower().endswith(".shp")], source, where)
            for name, member in members.items():
                suffix = PurePosixPath(name).suffix.lower()
                if PurePosixPath(name).with_suffix("") == stem and suffix in _PARTS:
                    with (folder / f"layer{suffix}").open("wb") as copy:
                        copy.writelines(archive.chunks(member, path.stat().st_size, limits, where))
    for suffix in (".shp", ".shx", ".dbf"):
        if not (folder / f"layer{suffix}").exists():
            raise _refused(f"the shapefile's {suffix} is missing", where, "deliver all its parts as one zip")
    return folder / "layer.shp"


def _chosen(shapefiles: list[PurePosixPath], source: Dialect, where: str) -> PurePosixPath:
    names = [path.stem for path in shapefiles]
    if source.sheet is None and len(names) != 1:
        what = f"{len(names)} shapefiles lie in it: {', '.join(names[:10])}"
        raise _refused(what, where, "set 'sheet' in 'source' to the name of one")
    try:
        return shapefiles[names.index(chosen(names, source.sheet or 1, "shapefile"))].with_suffix("")
    except LookupError as error:
        raise _refused(str(error.args[0]), where, "check 'sheet' in 'source'") from error


def codec(file: Path, source: Dialect, where: str) -> str:
    """The encoding of a shapefile's or DBF's texts: the declared one, what the .cpg beside it or the DBF says, else UTF-8."""
    if "encoding" in source.model_fields_set:
        return encoding.codec(source.encoding, where)
    if (beside := file.with_suffix(".cpg")).exists():
        said = beside.read_text("latin-1")[:40].strip()
        page = said.upper().removeprefix("ANSI").removeprefix("OEM").removeprefix("CP").strip()
        try:
            return encoding.codec(f"cp{page}" if page.isdigit() else said, where)
        except ContractError as error:
            raise _refused(f"its .cpg says the encoding is {said}", where, "set 'encoding' in 'source'") from error
    return encoding.codec(_LANGUAGES.get(int(_head(file.with_suffix(".dbf"), where)[29]), "utf-8"), where)


def present(file: Path, where: str) -> Present:
    """Which records of a shapefile, without the deleted ones, have a geometry; of a DBF alone none.

    Raises DeliveryUnreadable where a part is shorter than it says, or the parts have different numbers of records.
    """
    head = _head(table := file.with_suffix(".dbf"), where)
    count, begin, width = (int(head[at : at + size].view(f"<u{size}")[0]) for at, size in ((4, 4), (8, 2), (10, 2)))
    if table.stat().st_size < begin + count * width:
        raise _refused(f"the .dbf is shorter than its {count} records", where)
    if not count or not width:
        return np.zeros(0, bool)
    kept = np.memmap(table, np.uint8, "r", begin, (count, width))[:, 0] != _DELETED
    if file == table:
        return np.zeros(int(kept.sum()), bool)
    if min(part.stat().st_size for part in (file, file.with_suffix(".shx"))) < _INDEX_HEAD:
        raise _refused("a part of the shapefile has no head", where)
    index = np.fromfile(file.with_suffix(".shx"), [("begin", ">i4"), ("length", ">i4")], offset=_INDEX_HEAD)
    if len(index) != count:
        raise _refused(f"the .dbf has {count} records, the .shx {len(index)}", where)
    # Both in words of two bytes; the record's own head has eight bytes.
    begins, lengths = index["begin"].astype(np.int64) * 2, index["length"].astype(np.int64) * 2
    shapes = np.memmap(file, np.uint8, "r")
    if (begins < _INDEX_HEAD).any() or (lengths < 4).any() or (begins + 8 + lengths > len(shapes)).any():
        raise _refused("the .shp is shorter than its .shx says", where)
    return np.asarray(shapes[begins + 8] != _NO_SHAPE)[kept]


def _head(table: Path, where: str) -> npt.NDArray[np.uint8]:
    head = np.fromfile(table, np.uint8, _HEAD)
    if len(head) < _HEAD:
        raise _refused("the .dbf has no head" if len(head) else "empty file", where)
    return head


def _refused(what: str, where: str, hint: str = "ask the department to deliver again") -> DeliveryUnreadable:
    return DeliveryUnreadable(what, where=where, hint=hint)
