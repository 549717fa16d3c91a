/* db/schema.h: the text of db/schema.sql and db/views.sql, and the two numbers that name it. */
#ifndef DB_SCHEMA_H
#define DB_SCHEMA_H

enum {
    DB_SCHEMA_APPLICATION_ID = 0x686f6e65, /* "hone" */
    DB_MERGED_APPLICATION_ID = 0x686f6e6d, /* "honm": many runs, db_merge */
    DB_SCHEMA_VERSION = 5, /* PRAGMA user_version; raise with any change */
    DB_SCHEMA_OLDEST = 3,  /* that db_upgrade knows */
};

extern const char db_schema_sql[]; /* tables; NUL-terminated */
extern const char db_views_sql[];

#endif
