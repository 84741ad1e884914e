"""Tables and views of databases: a dialect a module, everything else shared."""
