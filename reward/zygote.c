/* reward/zygote.c: embeds reward/zygote.py, as db/schema.c does its file. */
#include "reward/zygote.h"

__asm__(".pushsection .rodata\n"
        "zygote_py:\n"
        ".incbin \"reward/zygote.py\"\n"
        ".byte 0\n"
        ".popsection\n");
extern const char zygote_py[];

const char *zygote_source(void) { return zygote_py; }
