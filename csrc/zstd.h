/* Zstandard called through the functions that an installed library exports: frames with their content size. */
#ifndef SMARTPIPE_ZSTD_H
#define SMARTPIPE_ZSTD_H

#include "engine.h"

/* A frame whose window is larger is refused: what readers of zstd take unless told otherwise. */
#define SP_ZSTD_WINDOW ((uint64_t)1 << 27)

/* The addresses of the library's functions, named as the library names them. */
typedef struct sp_zstd {
    unsigned (*versionNumber)(void);
    unsigned (*isError)(size_t result);
    int (*getErrorCode)(size_t result);
    void *(*createCCtx)(void);
    size_t (*freeCCtx)(void *context);
    size_t (*CCtx_setParameter)(void *context, int parameter, int value);
    size_t (*compress2)(void *context, void *out, size_t room, const void *in, size_t n);
    void *(*createDCtx)(void);
    size_t (*freeDCtx)(void *context);
    size_t (*decompressDCtx)(void *context, void *out, size_t room, const void *in, size_t n);
    size_t (*CCtx_loadDictionary)(void *context, const void *dictionary, size_t n);
    void *(*createDDict)(const void *dictionary, size_t n);
    size_t (*freeDDict)(void *dictionary);
    size_t (*decompress_usingDDict)(void *context, void *out, size_t room, const void *in, size_t n,
                                    const void *dictionary);
} sp_zstd;

/* The frame at the start of n bytes, by its headers alone: SP_OK with the bytes it takes and the size of its content,
 * or SP_TRUNCATED, SP_STREAM (no frame, one without the size of its content, or with a window that is too large). */
int sp_zstd_frame(const uint8_t *p, size_t n, size_t *used, uint64_t *content);

/* Fills the table with functions that call the library, which must live as long as the table. SP_OK, or SP_CODEC where
 * the library does not do what it should. */
int sp_zstd_engine(const sp_zstd *library, sp_engine *engine);

#endif
