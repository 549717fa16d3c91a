/* reward/zygote.h: the warm Python interpreter's program, reward/zygote.py, as text. */
#ifndef REWARD_ZYGOTE_H
#define REWARD_ZYGOTE_H

const char *zygote_source(void); /* NUL-terminated */

#endif
