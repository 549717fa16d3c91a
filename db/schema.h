/* db/schema.h: the text of db/schema.sql and db/views.sql, and the two numbers that name it. */
#ifndef DB_SCHEMA_H
#define DB_SCHEMA_H

enum {
    DB_SCHEMA_APPLICATION_ID = 0x686f6e65, /* "hone" */
    DB_SCHEMA_VERSION = 3, /* PRAGMA user_version; raise with any change */
};

extern const char db_schema_sql[]; /* tables; NUL-terminated */
extern const char db_views_sql[];

#endif
