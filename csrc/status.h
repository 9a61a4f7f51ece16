/* What a function of csrc can answer. One list makes the codes and their words. */
#ifndef SMARTPIPE_STATUS_H
#define SMARTPIPE_STATUS_H

#define SP_STATUS_LIST(X)                                                      \
    X(OK, "")                                                                  \
    X(ABSENT, "not there")                                                     \
    X(TRUNCATED, "the bytes end before the structure does")                    \
    X(MAGIC, "the magic bytes are not there")                                  \
    X(CHECKSUM, "the checksum does not match")                                 \
    X(FLAGS, "a required flag that this version does not know is set")         \
    X(RESERVED, "reserved bytes are not zero")                                 \
    X(SIZES, "the sizes do not add up")                                        \
    X(KIND, "a record kind that this version does not know")                   \
    X(CODEC, "a codec that this version does not know")                        \
    X(NO_ZSTD, "codec zstd has no engine here: pip install 'smartpipe[zstd]'") \
    X(NO_LZ4, "codec lz4 has no engine here: pip install 'smartpipe[lz4]'")    \
    X(STREAM, "the compressed bytes are not a valid stream")                   \
    X(TRAILING, "there are bytes behind the end of the compressed stream")     \
    X(FULL, "more bytes than there is room for")                               \
    X(MEMORY, "out of memory")                                                 \
    X(KEY, "the key is another one than the index lists")                      \
    X(LISTED, "it is not what the index lists")                                \
    X(OVERLAP, "the block begins before the one listed before it ends")

#define SP_STATUS_CODE(name, words) SP_##name,
enum sp_status { SP_STATUS_LIST(SP_STATUS_CODE) SP_STATUS_COUNT };
#undef SP_STATUS_CODE

/* The words for a code; never NULL. */
const char *sp_status_words(int status);

#endif
