#include "isal.h"

#include <stdlib.h>
#include <string.h>

#include "status.h"

enum { COMP_OK = 0, STATELESS_OVERFLOW = -1, NO_FLUSH = 0, ZLIB = 3 };
/* For tokens of level 1; with less the blocks of a stream become smaller. */
enum { LEVEL_BUFFER = 320 << 10 };

typedef struct {
    sp_isal_stream z;
    const sp_isal *library;
    uint32_t level;
    uint8_t buffer[LEVEL_BUFFER];
} deflater;

static void *deflate_open(const void *library, int level) {
    deflater *s = malloc(sizeof *s);
    if (s != NULL) {
        s->library = library;
        s->level = (uint32_t)level;
    }
    return s;
}

static void deflate_close(void *p) {
    free(p);
}

static int deflate_all(void *p, const uint8_t *in, size_t n, uint8_t *out, size_t room, size_t *written) {
    deflater *s = p;
    /* It counts in 32 bits, and no block of a pipe has more. */
    uint32_t given = room < UINT32_MAX ? (uint32_t)room : UINT32_MAX;
    if (n > UINT32_MAX)
        return SP_MEMORY;
    s->library->deflate_stateless_init(&s->z);
    s->z.next_in = in;
    s->z.avail_in = (uint32_t)n;
    s->z.next_out = out;
    s->z.avail_out = given;
    s->z.level = s->level;
    s->z.level_buf = s->buffer;
    s->z.level_buf_size = sizeof s->buffer;
    s->z.end_of_stream = 1;
    s->z.flush = NO_FLUSH;
    s->z.gzip_flag = ZLIB;
    int answer = s->library->deflate_stateless(&s->z);
    if (answer != COMP_OK)
        return answer == STATELESS_OVERFLOW ? SP_FULL : SP_MEMORY;
    *written = given - s->z.avail_out;
    return SP_OK;
}

int sp_isal_engine(const sp_isal *library, sp_engine *engine) {
    memset(engine, 0, sizeof *engine);
    engine->deflate_open = deflate_open;
    engine->deflate_close = deflate_close;
    engine->deflate = deflate_all;
    engine->library = library;

    return sp_engine_probe(engine, 1, library->judge);
}
