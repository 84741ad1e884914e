"""Packages of data between cities, provinces and the state: signed, chained and receipted. docs/exchange.md is the format."""
