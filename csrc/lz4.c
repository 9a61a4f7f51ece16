#include "lz4.h"

#include <stdlib.h>
#include <string.h>

#include "status.h"

typedef struct {
    const sp_lz4 *library;
    void *state;
    int level;
} stream;

static void *deflate_open(const void *p, int level) {
    const sp_lz4 *library = p;
    stream *s = calloc(1, sizeof *s);
    if (s == NULL)
        return NULL;
    s->library = library;
    s->level = level;
    int size = level > 0 ? library->sizeofStateHC() : library->sizeofState();
    s->state = malloc((size_t)size);
    if (s->state == NULL || (level < 0 && library->initStream(s->state, (size_t)size) == NULL)) {
        free(s->state);
        free(s);
        return NULL;
    }
    return s;
}

static void deflate_close(void *p) {
    stream *s = p;
    free(s->state);
    free(s);
}

static int deflate_all(void *p, const uint8_t *in, size_t n, uint8_t *out, size_t room, size_t *written) {
    stream *s = p;
    int size, most = room < INT32_MAX ? (int)room : INT32_MAX;
    if (n > SP_LZ4_MOST)
        return SP_FULL;
    if (s->level > 0) {
        size = s->library->compress_HC_extStateHC(s->state, (const char *)in, (char *)out, (int)n, most, s->level);
    } else {
        /* As the first block of a chain: that takes longer hashes for small blocks too, and no table is cleared. */
        s->library->resetStream_fast(s->state);
        size = s->library->compress_fast_continue(s->state, (const char *)in, (char *)out, (int)n, most, -s->level);
        if (size <= 0)
            s->library->initStream(s->state, (size_t)s->library->sizeofState());
    }
    if (size <= 0)
        return SP_FULL;
    *written = (size_t)size;
    return SP_OK;
}

static void *inflate_open(const void *p) {
    stream *s = calloc(1, sizeof *s);
    if (s != NULL)
        s->library = p;
    return s;
}

static void inflate_close(void *p) {
    free(p);
}

static int inflate_all(void *p, const uint8_t *in, size_t n, size_t *used, uint8_t *out, size_t room,
                       size_t *written) {
    stream *s = p;
    if (n > INT32_MAX)
        return SP_STREAM;
    int most = room < INT32_MAX ? (int)room : INT32_MAX;
    int size = s->library->decompress_safe((const char *)in, (char *)out, (int)n, most);
    if (size < 0)
        return SP_STREAM;
    *used = n;
    *written = (size_t)size;
    return SP_OK;
}

int sp_lz4_engine(const sp_lz4 *library, sp_engine *engine) {
    if (library->versionNumber() / 10000 != 1 || library->sizeofState() <= 0 || library->sizeofStateHC() <= 0)
        return SP_CODEC;
    memset(engine, 0, sizeof *engine);
    engine->deflate_open = deflate_open;
    engine->deflate_close = deflate_close;
    engine->inflate_open = inflate_open;
    engine->inflate_close = inflate_close;
    engine->deflate = deflate_all;
    engine->inflate = inflate_all;
    engine->library = library;

    int status = sp_engine_probe(engine, -1, engine);
    return status == SP_OK ? sp_engine_probe(engine, 3, engine) : status;
}
