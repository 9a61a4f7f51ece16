"""Operations on whole pipes, a file per operation. Their functions are exported from `smartpipe`."""
