/* db/schema.c: embeds db/schema.sql and db/views.sql, the single source of the schema.
 *
 * The assembler reads the files relative to the folder the compiler runs in, which is the
 * repository's root; the Makefile names the dependency, since -MMD cannot see it.
 */
#include "db/schema.h"

#define EMBED(name, file)                                                                \
    __asm__(".pushsection .rodata\n"                                                     \
            ".global " #name "\n"                                                        \
            ".type " #name ", %object\n"                                                 \
            #name ":\n"                                                                  \
            ".incbin \"" file "\"\n"                                                     \
            ".byte 0\n"                                                                  \
            ".size " #name ", . - " #name "\n"                                           \
            ".popsection\n")

EMBED(db_schema_sql, "db/schema.sql");
EMBED(db_views_sql, "db/views.sql");
