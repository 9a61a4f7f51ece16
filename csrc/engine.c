#include "engine.h"

#include <string.h>

#include "status.h"

int sp_engine_probe(const sp_engine *engine, int level, const sp_engine *reader) {
    static const uint8_t probe[] = "smartpipe smartpipe smartpipe smartpipe smartpipe smartpipe smartpipe smartpipe "
                                   "smartpipe smartpipe smartpipe smartpipe smartpipe smartpipe smartpipe smartpipe";
    uint8_t stored[2 * sizeof probe], again[sizeof probe];
    size_t size = 0, used = 0, written = 0;
    int status = SP_CODEC;
    void *deflater = engine->deflate_open(engine->library, level), *inflater = reader->inflate_open(reader->library);
    if (deflater != NULL && inflater != NULL &&
        engine->deflate(deflater, probe, sizeof probe, stored, sizeof stored, &size) == SP_OK && size < sizeof probe &&
        reader->inflate(inflater, stored, size, &used, again, sizeof again, &written) == SP_OK && used == size &&
        written == sizeof probe && memcmp(again, probe, sizeof probe) == 0)
        status = SP_OK;
    if (deflater != NULL)
        engine->deflate_close(deflater);
    if (inflater != NULL)
        reader->inflate_close(inflater);
    return status;
}
