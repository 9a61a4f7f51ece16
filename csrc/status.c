#include "status.h"

const char *sp_status_words(int status) {
#define SP_STATUS_WORDS(name, words) case SP_##name: return words;
    switch (status) {
        SP_STATUS_LIST(SP_STATUS_WORDS)
    default:
        return "an unknown status";
    }
#undef SP_STATUS_WORDS
}
