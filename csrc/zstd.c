#include "zstd.h"

#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "status.h"

enum { LEVEL = 100, CONTENT_SIZE = 200, CHECKSUM = 201, DICTIONARY_ID = 202 }; /* ZSTD_cParameter */
enum { ERROR_MEMORY = 64, ERROR_ROOM = 70 };                                   /* ZSTD_ErrorCode */

static const uint8_t MAGIC[4] = {0x28, 0xb5, 0x2f, 0xfd};

/* RFC 8878, 3.1.1: magic, frame header, blocks each with a header of three bytes, perhaps a checksum. */
int sp_zstd_frame(const uint8_t *p, size_t n, size_t *used, uint64_t *content) {
    static const uint8_t id_sizes[4] = {0, 1, 2, 4}, content_sizes[4] = {0, 2, 4, 8};
    if (memcmp(p, MAGIC, n < sizeof MAGIC ? n : sizeof MAGIC) != 0)
        return SP_STREAM;
    if (n < 5)
        return SP_TRUNCATED;
    uint8_t descriptor = p[4];
    int single = descriptor >> 5 & 1;
    size_t size = content_sizes[descriptor >> 6], id = id_sizes[descriptor & 3], at = 5;
    if (size == 0 && single)
        size = 1;
    if (size == 0 || (descriptor & 8) != 0)
        return SP_STREAM;
    if (n - at < (single ? 0 : 1) + id + size)
        return SP_TRUNCATED;
    uint64_t window = 0;
    if (!single) {
        window = (uint64_t)1 << (10 + (p[at] >> 3));
        window += (window >> 3) * (p[at] & 7);
        at++;
    }
    at += id;
    const uint8_t *field = p + at;
    *content = size == 1   ? field[0]
               : size == 2 ? (uint64_t)sp_load16(field) + 256
               : size == 4 ? sp_load32(field)
                           : sp_load64(field);
    at += size;
    if ((single ? *content : window) > SP_ZSTD_WINDOW)
        return SP_STREAM;
    for (;;) {
        if (n - at < 3)
            return SP_TRUNCATED;
        uint32_t header = (uint32_t)p[at] | (uint32_t)p[at + 1] << 8 | (uint32_t)p[at + 2] << 16;
        uint32_t type = header >> 1 & 3, length = type == 1 ? 1 : header >> 3;
        at += 3;
        if (type == 3)
            return SP_STREAM;
        if (n - at < length)
            return SP_TRUNCATED;
        at += length;
        if (header & 1)
            break;
    }
    if (descriptor & 4) {
        if (n - at < 4)
            return SP_TRUNCATED;
        at += 4;
    }
    *used = at;
    return SP_OK;
}

typedef struct {
    const sp_zstd *library;
    void *context;
} stream;

static void *stream_new(const sp_zstd *library, void *context) {
    stream *s = context == NULL ? NULL : calloc(1, sizeof *s);
    if (s != NULL) {
        s->library = library;
        s->context = context;
    }
    return s;
}

static void *deflate_open_with(const void *p, int level, const uint8_t *dictionary, size_t n) {
    const sp_zstd *library = p;
    void *context = library->createCCtx();
    if (context == NULL)
        return NULL;
    int failed = library->isError(library->CCtx_setParameter(context, LEVEL, level)) != 0 ||
                 library->isError(library->CCtx_setParameter(context, CONTENT_SIZE, 1)) != 0 ||
                 library->isError(library->CCtx_setParameter(context, CHECKSUM, 0)) != 0 ||
                 library->isError(library->CCtx_setParameter(context, DICTIONARY_ID, 0)) != 0 ||
                 (n > 0 && library->isError(library->CCtx_loadDictionary(context, dictionary, n)) != 0);
    stream *s = failed ? NULL : stream_new(library, context);
    if (s == NULL)
        library->freeCCtx(context);
    return s;
}

static void *deflate_open(const void *p, int level) {
    return deflate_open_with(p, level, NULL, 0);
}

static void deflate_close(void *p) {
    stream *s = p;
    s->library->freeCCtx(s->context);
    free(s);
}

static int deflate_all(void *p, const uint8_t *in, size_t n, uint8_t *out, size_t room, size_t *written) {
    stream *s = p;
    size_t size = s->library->compress2(s->context, out, room, in, n);
    if (s->library->isError(size))
        return s->library->getErrorCode(size) == ERROR_ROOM ? SP_FULL : SP_MEMORY;
    *written = size;
    return SP_OK;
}

static void *inflate_open(const void *p) {
    const sp_zstd *library = p;
    void *context = library->createDCtx();
    void *s = stream_new(library, context);
    if (s == NULL && context != NULL)
        library->freeDCtx(context);
    return s;
}

static void inflate_close(void *p) {
    stream *s = p;
    s->library->freeDCtx(s->context);
    free(s);
}

static void *dictionary_open(const void *p, const uint8_t *dictionary, size_t n) {
    const sp_zstd *library = p;
    return library->createDDict(dictionary, n);
}

static void dictionary_close(const void *p, void *dictionary) {
    const sp_zstd *library = p;
    library->freeDDict(dictionary);
}

static int inflate_with(void *p, const void *dictionary, const uint8_t *in, size_t n, size_t *used, uint8_t *out,
                        size_t room, size_t *written) {
    stream *s = p;
    uint64_t content = 0;
    int status = sp_zstd_frame(in, n, used, &content);
    if (status != SP_OK)
        return status;
    if (content > room)
        return SP_FULL;
    /* The library would read all frames that there are. */
    size_t size = dictionary == NULL
                      ? s->library->decompressDCtx(s->context, out, room, in, *used)
                      : s->library->decompress_usingDDict(s->context, out, room, in, *used, dictionary);
    if (s->library->isError(size))
        return s->library->getErrorCode(size) == ERROR_MEMORY ? SP_MEMORY : SP_STREAM;
    *written = size;
    return SP_OK;
}

static int inflate_all(void *p, const uint8_t *in, size_t n, size_t *used, uint8_t *out, size_t room,
                       size_t *written) {
    return inflate_with(p, NULL, in, n, used, out, room, written);
}

int sp_zstd_engine(const sp_zstd *library, sp_engine *engine) {
    if (library->versionNumber() / 10000 != 1)
        return SP_CODEC;
    memset(engine, 0, sizeof *engine);
    engine->deflate_open = deflate_open;
    engine->deflate_close = deflate_close;
    engine->inflate_open = inflate_open;
    engine->inflate_close = inflate_close;
    engine->deflate = deflate_all;
    engine->inflate = inflate_all;
    engine->deflate_open_with = deflate_open_with;
    engine->dictionary_open = dictionary_open;
    engine->dictionary_close = dictionary_close;
    engine->inflate_with = inflate_with;
    engine->library = library;

    return sp_engine_probe(engine, 1, engine);
}
