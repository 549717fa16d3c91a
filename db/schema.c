/* db/schema.c: embeds db/schema.sql, the single source of the schema.
 *
 * The assembler reads the file relative to the folder the compiler runs in, which is the
 * repository's root; the Makefile names the dependency, since -MMD cannot see it.
 */
#include "db/schema.h"

__asm__(".pushsection .rodata\n"
        ".global db_schema_sql\n"
        ".type db_schema_sql, %object\n"
        "db_schema_sql:\n"
        ".incbin \"db/schema.sql\"\n"
        ".byte 0\n"
        ".size db_schema_sql, . - db_schema_sql\n"
        ".popsection\n");
