/* Columns of answers to the wire bytes of their messages.

   Which column becomes which field stands in tables that engine/wire_tables.py makes: nothing here
   knows a field by number or name. engine/encode.py is the authority on every text: where a value
   would read in a way that is not written here, writing stops with FOREIGN.

   The bytes are written from the end of the buffer to its start, so that the length of a message
   is known when it is put before it. Nothing is allocated, no state is kept between calls. */

#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum kind {
    NUMBER, OPTIONAL, REAL, OPTIONAL_REAL, TEXT, PIECE, NUMBERS, CODES, JOINED, FACTS, ROWS
};
enum reading {
    COUNT, UNITS, CENTS, RATIO_E2, RATIO_E4, CODE, POS, DATE, NAME, BYTES
};
enum outcome { OK, NO_ROOM, FOREIGN };

#define ABSENT INT64_MIN
#define NOT_A_TIME INT64_MIN
#define KEY_AND_VALUE 0x12 /* the tag of the value in an entry of a map */
#define FIRST_DAY (-719162) /* 0001-01-01 */
#define LAST_DAY 2932896    /* 9999-12-31 */

/* One field of a message: a value per row, or a list of entries per row. */
struct column {
    int64_t kind;
    int64_t tag;    /* number and wire type of the field */
    int64_t size;   /* bytes of one value */
    int64_t stride; /* bytes from one value to the next */
    int64_t values; /* address; of ROWS the row of each entry, 0 where they are in order */
    int64_t first;  /* lists: address of the place of each row's first entry */
    int64_t count;  /* lists: address of how many entries each row has */
    int64_t more;   /* ROWS: the table of the entries; JOINED: the piece of the key */
};

/* One column of evidence: a value per hit of its rule. */
struct fact {
    int64_t reading;
    int64_t key; /* the piece of the key */
    int64_t size;
    int64_t stride;
    int64_t values;
    int64_t names; /* NAME: the first text */
    int64_t named; /* NAME: how many there are */
};

/* One kind of message: its columns in the order of its fields. */
struct table {
    int64_t first;
    int64_t columns;
};

struct out {
    const struct column *columns;
    const struct table *tables;
    const struct fact *facts;
    const uint8_t *pool;   /* texts and pieces of messages, one after the other */
    const int64_t *places; /* where each begins, and where the last one ends */
    int64_t pieces;
    uint8_t *start;
    uint8_t *at; /* what was written last begins here */
    int outcome;
};

static void put_row(struct out *out, const struct table *table, int64_t row);

static const uint8_t *pointer(int64_t address)
{
    return (const uint8_t *)(uintptr_t)address;
}

static int64_t load(const uint8_t *at, int64_t size)
{
    int8_t narrow;
    int16_t two;
    int32_t four;
    int64_t eight;
    switch (size) {
    case 1: memcpy(&narrow, at, 1); return narrow;
    case 2: memcpy(&two, at, 2); return two;
    case 4: memcpy(&four, at, 4); return four;
    default: memcpy(&eight, at, 8); return eight;
    }
}

static int64_t entry(int64_t address, int64_t row)
{
    return load(pointer(address) + row * 8, 8);
}

static int64_t value_at(const struct column *column, int64_t row)
{
    return load(pointer(column->values) + row * column->stride, column->size);
}

/* Move back by so many bytes; none where the buffer has no room for them. */
static uint8_t *room(struct out *out, int64_t size)
{
    if (out->at - out->start < size) {
        out->outcome = NO_ROOM;
        return 0;
    }
    return out->at -= size;
}

static void put_byte(struct out *out, int byte)
{
    uint8_t *at = room(out, 1);
    if (at)
        *at = (uint8_t)byte;
}

static void put_bytes(struct out *out, const uint8_t *from, int64_t size)
{
    uint8_t *at = room(out, size);
    if (at && size)
        memcpy(at, from, (size_t)size);
}

static void put_varint(struct out *out, uint64_t value)
{
    int64_t size = 1;
    for (uint64_t rest = value >> 7; rest; rest >>= 7)
        size++;
    uint8_t *at = room(out, size);
    if (!at)
        return;
    for (; value > 0x7f; value >>= 7)
        *at++ = (uint8_t)(value | 0x80);
    *at = (uint8_t)value;
}

static void put_eight_bytes(struct out *out, uint64_t bits)
{
    uint8_t *at = room(out, 8);
    for (int n = 0; at && n < 8; n++)
        at[n] = (uint8_t)(bits >> 8 * n);
}

/* A text or a piece of a message by its number; below 0 there is none. */
static void put_piece(struct out *out, int64_t number)
{
    if (number >= out->pieces)
        out->outcome = FOREIGN;
    else if (number >= 0)
        put_bytes(out, out->pool + out->places[number],
                  out->places[number + 1] - out->places[number]);
}

/* Put length and tag before what was written since `end`. */
static void close(struct out *out, const uint8_t *end, int64_t tag)
{
    put_varint(out, (uint64_t)(end - out->at));
    put_varint(out, (uint64_t)tag);
}

/* The same for the value of an entry of a map, unless the value is empty. */
static void close_entry(struct out *out, const uint8_t *end, int64_t key, int64_t tag)
{
    if (out->at == end)
        return;
    close(out, end, KEY_AND_VALUE);
    put_piece(out, key);
    close(out, end, tag);
}

/* A number of at least so many digits, not below 0. */
static void put_digits(struct out *out, uint64_t value, int digits)
{
    for (; value || digits > 0; value /= 10, digits--)
        put_byte(out, '0' + (int)(value % 10));
}

static void put_decimal(struct out *out, int64_t value)
{
    put_digits(out, value < 0 ? 0 - (uint64_t)value : (uint64_t)value, 1);
    if (value < 0)
        put_byte(out, '-');
}

/* A ratio as engine.encode has it: the part before the point is rounded down. */
static void put_ratio(struct out *out, int64_t value, int places)
{
    int64_t unit = 1;
    for (int n = 0; n < places; n++)
        unit *= 10;
    int64_t rest = value % unit;
    int64_t whole = value / unit;
    if (rest < 0) {
        rest += unit;
        whole--;
    }
    put_digits(out, (uint64_t)rest, places);
    put_byte(out, '.');
    put_decimal(out, whole);
}

static void put_units(struct out *out, int64_t milli)
{
    char text[32];
    if (milli % 1000 == 0)
        put_decimal(out, milli / 1000);
    else
        put_bytes(out, (const uint8_t *)text,
                  snprintf(text, sizeof text, "%g", (double)milli / 1000));
}

/* A code as engine.codes.text36 has it: the first digit only marks where the code begins. */
static void put_code(struct out *out, int64_t code)
{
    for (; code >= 36; code /= 36)
        put_byte(out, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"[code % 36]);
}

/* A day of the Gregorian calendar, counted from 1970-01-01. */
static void put_day(struct out *out, int64_t day)
{
    if (day < FIRST_DAY || day > LAST_DAY) {
        out->outcome = FOREIGN;
        return;
    }
    /* Years from March on, so that the leap day is the last one; eras of 400 years. */
    int64_t since = day + 719468;
    int64_t era = since / 146097;
    int64_t of_era = since % 146097;
    int64_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int64_t of_year = of_era - (365 * year + year / 4 - year / 100);
    int64_t month = (5 * of_year + 2) / 153;
    put_digits(out, (uint64_t)(of_year - (153 * month + 2) / 5 + 1), 2);
    put_byte(out, '-');
    put_digits(out, (uint64_t)(month < 10 ? month + 3 : month - 9), 2);
    put_byte(out, '-');
    put_digits(out, (uint64_t)(year + 400 * era + (month >= 10)), 4);
}

/* A text of ASCII, padded with zeros. */
static void put_padded(struct out *out, const uint8_t *text, int64_t size)
{
    while (size && !text[size - 1])
        size--;
    for (int64_t n = 0; n < size; n++)
        if (text[n] >= 0x80)
            out->outcome = FOREIGN;
    put_bytes(out, text, size);
}

static void put_name(struct out *out, const struct fact *fact, int64_t number)
{
    if (number >= fact->named)
        out->outcome = FOREIGN;
    else if (number >= 0)
        put_piece(out, fact->names + number);
}

/* The text of a fact; nothing where there is none. */
static void put_fact(struct out *out, const struct fact *fact, int64_t row)
{
    const uint8_t *at = pointer(fact->values) + row * fact->stride;
    if (fact->reading == BYTES) {
        put_padded(out, at, fact->size);
        return;
    }
    int64_t value = load(at, fact->size);
    switch (fact->reading) {
    case RATIO_E2: put_ratio(out, value, 2); return;
    case RATIO_E4: put_ratio(out, value, 4); return;
    case CODE: put_code(out, value); return;
    case NAME: put_name(out, fact, value); return;
    case DATE:
        if (value != NOT_A_TIME)
            put_day(out, value);
        return;
    }
    if (value < 0)
        return;
    switch (fact->reading) {
    case UNITS: put_units(out, value); return;
    case POS: put_digits(out, (uint64_t)value, 2); return;
    default: put_decimal(out, value);
    }
}

static void put_facts(struct out *out, const struct column *column, int64_t row)
{
    const struct fact *first = out->facts + entry(column->first, row);
    for (int64_t n = entry(column->count, row); n-- > 0;) {
        const uint8_t *end = out->at;
        put_fact(out, first + n, value_at(column, row));
        close_entry(out, end, first[n].key, column->tag);
    }
}

static void put_numbers(struct out *out, const struct column *column, int64_t row)
{
    const uint8_t *end = out->at;
    int64_t first = entry(column->first, row);
    int64_t count = entry(column->count, row);
    for (int64_t n = count; n-- > 0;)
        put_varint(out, (uint64_t)value_at(column, first + n));
    if (count)
        close(out, end, column->tag);
}

static void put_joined(struct out *out, const struct column *column, int64_t row)
{
    const uint8_t *end = out->at;
    int64_t first = entry(column->first, row);
    for (int64_t n = entry(column->count, row); n-- > 0;) {
        put_decimal(out, value_at(column, first + n));
        if (n)
            put_byte(out, ',');
    }
    close_entry(out, end, column->more, column->tag);
}

/* Each different code once, in the order of the first of them. */
static void put_codes(struct out *out, const struct column *column, int64_t row)
{
    int64_t first = entry(column->first, row);
    for (int64_t n = entry(column->count, row); n-- > 0;) {
        int64_t code = value_at(column, first + n);
        int64_t before = 0;
        while (before < n && value_at(column, first + before) != code)
            before++;
        const uint8_t *end = out->at;
        if (before == n)
            put_code(out, code);
        if (out->at != end)
            close(out, end, column->tag);
    }
}

static void put_rows(struct out *out, const struct column *column, int64_t row)
{
    int64_t first = entry(column->first, row);
    for (int64_t n = entry(column->count, row); n-- > 0 && out->outcome == OK;) {
        const uint8_t *end = out->at;
        int64_t within = column->values ? entry(column->values, first + n) : first + n;
        put_row(out, out->tables + column->more, within);
        close(out, end, column->tag);
    }
}

static void put_text(struct out *out, const struct column *column, int64_t number)
{
    const uint8_t *end = out->at;
    put_piece(out, number);
    if (out->at != end)
        close(out, end, column->tag);
}

static void put_value(struct out *out, const struct column *column, int64_t value)
{
    int real = column->kind == REAL || column->kind == OPTIONAL_REAL;
    int optional = column->kind == OPTIONAL || column->kind == OPTIONAL_REAL;
    if (value == (optional ? ABSENT : 0))
        return;
    if (real)
        put_eight_bytes(out, (uint64_t)value);
    else
        put_varint(out, (uint64_t)value);
    put_varint(out, (uint64_t)column->tag);
}

static void put_field(struct out *out, const struct column *column, int64_t row)
{
    switch (column->kind) {
    case TEXT: put_text(out, column, value_at(column, row)); return;
    case PIECE: put_piece(out, value_at(column, row)); return;
    case NUMBERS: put_numbers(out, column, row); return;
    case CODES: put_codes(out, column, row); return;
    case JOINED: put_joined(out, column, row); return;
    case FACTS: put_facts(out, column, row); return;
    case ROWS: put_rows(out, column, row); return;
    default: put_value(out, column, value_at(column, row));
    }
}

static void put_row(struct out *out, const struct table *table, int64_t row)
{
    for (int64_t n = table->columns; n-- > 0 && out->outcome == OK;)
        put_field(out, out->columns + table->first + n, row);
}

/* Write the rows of one table, without length and tag. `starts` is where each begins in the buffer;
   each ends where the next begins, the last one with the buffer. */
int write_messages(const struct column *columns, const struct table *tables,
                   const struct fact *facts, const uint8_t *pool, const int64_t *places,
                   int64_t pieces, int64_t table, int64_t rows, uint8_t *buffer, int64_t size,
                   int64_t *starts)
{
    struct out out = {columns, tables, facts, pool, places, pieces, buffer, buffer + size, OK};
    for (int64_t row = rows; row-- > 0 && out.outcome == OK;) {
        put_row(&out, tables + table, row);
        starts[row] = out.at - buffer;
    }
    return out.outcome;
}

/* Which source this was built from; ops/build_native.py says it. */
int64_t built_from(void)
{
    return SOURCE_ID;
}
