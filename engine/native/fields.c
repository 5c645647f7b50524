/* Fields of serialized claims to columns: one walk over the wire bytes of a ClaimBatch.

   Which field becomes which column stands in tables that engine/fields_native.py makes from the
   API's descriptors: nothing here knows a field by number or name. What the kinds mean is written
   in engine/fields.py. engine/fields_python.py is the authority on every value: where its rules
   for text beyond ASCII could give another one, the walk stops with FOREIGN. A claim whose texts
   may be at fault is marked as doubtful, never judged.

   No length is trusted, nothing is allocated, no state is kept between calls. */

#include <stdint.h>
#include <string.h>

enum kind {
    SKIPPED, CODE, DAY, NPI, PLACE, ZIP5, INT, BOOL, TEXT, FILLED, KEPT, COUNT, CODES, INTS, ROLE,
    ROWS, WORD
};
enum outcome { OK, MALFORMED, FOREIGN, NO_ROOM };
enum wire { VARINT = 0, EIGHT_BYTES = 1, LENGTH = 2, FOUR_BYTES = 5 };
enum odd { CONTROL = 1, HIGH = 2 };

#define ABSENT_DAY INT64_MIN
#define UNCODABLE (-1)
#define POS_ABSENT (-1)
#define POS_INVALID (-2)
#define CODE_LENGTH_MAX 11

/* What becomes of one field of one message. */
struct field {
    int32_t kind;
    int32_t size;    /* bytes of one value */
    int32_t limit;   /* most bytes of a text; 0 for any */
    int32_t entries; /* values of one row */
    int32_t offset;  /* bytes of the columns before this one, per row */
    int32_t next;    /* ROLE, ROWS: the message within; CODES, INTS: offset of their count */
};

/* What is read of one message: its fields by number, from the one numbered 0. */
struct message {
    int32_t first;  /* place of its fields */
    int32_t fields; /* how many there are */
    int32_t table;  /* which table its columns are in */
    int32_t owner;  /* offset of the claim's row; of a claim itself, of its place in the bytes */
    int32_t nests;  /* it has rows within */
};

struct pass {
    const struct field *fields;
    const struct message *messages;
    const uint8_t *start;
    uint8_t *const *blocks; /* each table's columns, one after the other; none while counting */
    const int64_t *rows;    /* rows that each table has */
    int64_t *taken;         /* rows that were found so far */
    uint8_t *doubtful;      /* one flag per claim */
};

struct span {
    const uint8_t *at;
    const uint8_t *end;
};

/* Where the values of a field go. */
struct target {
    struct pass *pass;
    const struct field *field;
    int32_t table;
    int64_t row;
};

static int walk(struct pass *pass, int32_t number, struct span bytes, int64_t row);

/* Read a varint; 0 where the bytes end before it does. */
static int varint(struct span *bytes, uint64_t *value)
{
    uint64_t read = 0;
    for (unsigned shift = 0; shift < 70 && bytes->at < bytes->end; shift += 7) {
        uint8_t byte = *bytes->at++;
        read |= (uint64_t)(byte & 0x7f) << (shift & 63);
        if (byte < 0x80) {
            *value = read;
            return 1;
        }
    }
    return 0;
}

static void store(uint8_t *at, int32_t size, int64_t value)
{
    switch (size) {
    case 1: { int8_t narrow = (int8_t)value; memcpy(at, &narrow, 1); break; }
    case 2: { int16_t narrow = (int16_t)value; memcpy(at, &narrow, 2); break; }
    case 4: { int32_t narrow = (int32_t)value; memcpy(at, &narrow, 4); break; }
    default: memcpy(at, &value, 8);
    }
}

static uint8_t *column(const struct pass *pass, int32_t table, int32_t offset)
{
    return pass->blocks[table] + offset * pass->rows[table];
}

/* The first cell of the field in its row. */
static uint8_t *cell_of(const struct target *to)
{
    const struct field *field = to->field;
    return column(to->pass, to->table, field->offset) + to->row * field->entries * field->size;
}

/* One more in a counter; it stays at the top. */
static int32_t count_up(uint8_t *counter)
{
    int32_t count;
    memcpy(&count, counter, 4);
    store(counter, 4, (int64_t)count + (count < INT32_MAX));
    return count;
}

/* Claims are read one after the other, so the claim at hand is the last one. */
static int64_t claim_of(const struct pass *pass)
{
    return pass->taken[0] - 1;
}

/* What a text has beyond printable ASCII: control characters (C0, DEL, C1), bytes above 127. */
static int odd(struct span text)
{
    unsigned found = 0;
    for (const uint8_t *at = text.at; at < text.end; at++)
        found |= (uint8_t)(*at - 0x20) > 0x5e;
    if (!found)
        return 0;
    int seen = 0;
    for (const uint8_t *at = text.at; at < text.end; at++) {
        if (*at < 0x20 || *at == 0x7f)
            seen |= CONTROL;
        if (*at >= 0x80)
            seen |= HIGH;
        if (*at == 0xc2 && at + 1 < text.end && at[1] >= 0x80 && at[1] < 0xa0)
            seen |= CONTROL;
    }
    return seen;
}

/* White space as Python's str.strip() sees it within ASCII. */
static int is_space(uint8_t byte)
{
    return byte == ' ' || (byte >= 9 && byte <= 13) || (byte >= 28 && byte <= 31);
}

static struct span stripped(struct span text)
{
    while (text.at < text.end && is_space(*text.at))
        text.at++;
    while (text.at < text.end && is_space(text.end[-1]))
        text.end--;
    return text;
}

static int is_filled(struct span text)
{
    for (const uint8_t *at = text.at; at < text.end; at++)
        if (*at < 0x80 && !is_space(*at))
            return 1;
    return 0;
}

static int digit36(uint8_t byte)
{
    if (byte >= '0' && byte <= '9')
        return byte - '0';
    byte |= 0x20;
    return byte >= 'a' && byte <= 'z' ? byte - 'a' + 10 : -1;
}

/* A code of at most `size` bytes as engine.codes.code36 has it. */
static int64_t code36(struct span text, int32_t size)
{
    if (text.at == text.end)
        return 0;
    if (text.end - text.at > CODE_LENGTH_MAX)
        return UNCODABLE;
    int64_t code = 1;
    for (; text.at < text.end; text.at++) {
        int digit = digit36(*text.at);
        if (digit < 0)
            return UNCODABLE;
        code = code * 36 + digit;
    }
    if ((size == 2 && code > INT16_MAX) || (size == 4 && code > INT32_MAX))
        return UNCODABLE;
    return code;
}

/* `count` digits as a number; -1 where one of them is none. */
static int64_t decimal(const uint8_t *at, int count)
{
    int64_t number = 0;
    for (int n = 0; n < count; n++) {
        if (at[n] < '0' || at[n] > '9')
            return -1;
        number = number * 10 + (at[n] - '0');
    }
    return number;
}

/* Days since 1970-01-01 of a day of the Gregorian calendar from 1900 to 2100. */
static int64_t day_of(int64_t year, int64_t month, int64_t day)
{
    static const int before[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365};
    if (year < 1900 || year > 2100 || month < 1 || month > 12 || day < 1)
        return ABSENT_DAY;
    int leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    if (day > before[month] - before[month - 1] + (leap && month == 2))
        return ABSENT_DAY;
    int64_t past = year - 1;
    int64_t first = past * 365 + past / 4 - past / 100 + past / 400 - 719162;
    return first + before[month - 1] + (leap && month > 2) + day - 1;
}

/* The three forms of engine.dates.parse_day. */
static int64_t day(struct span text)
{
    const uint8_t *at = text.at;
    int64_t length = text.end - text.at;
    if (length == 10 && at[4] == '-' && at[7] == '-')
        return day_of(decimal(at, 4), decimal(at + 5, 2), decimal(at + 8, 2));
    if (length == 8)
        return day_of(decimal(at, 4), decimal(at + 4, 2), decimal(at + 6, 2));
    if (length == 10 && at[2] == '/' && at[5] == '/')
        return day_of(decimal(at + 6, 4), decimal(at, 2), decimal(at + 3, 2));
    return ABSENT_DAY;
}

static int64_t npi(struct span text)
{
    if (text.at == text.end)
        return 0;
    int64_t number = text.end - text.at == 10 ? decimal(text.at, 10) : -1;
    return number > 0 ? number : UNCODABLE;
}

static int64_t place(struct span text)
{
    if (text.at == text.end)
        return POS_ABSENT;
    int64_t number = text.end - text.at == 2 ? decimal(text.at, 2) : -1;
    return number >= 0 ? number : POS_INVALID;
}

static int64_t zip5(struct span text)
{
    if (text.at == text.end)
        return 0;
    int64_t number = text.end - text.at >= 5 ? decimal(text.at, 5) : 0;
    return number ? number : UNCODABLE;
}

/* A text as engine.words.word_key has it: FNV-1a over its bytes, the letters of ASCII as capitals. */
static int64_t word_key(struct span text)
{
    if (text.at == text.end)
        return 0;
    uint64_t value = 0xcbf29ce484222325u;
    for (; text.at < text.end; text.at++) {
        uint8_t byte = *text.at;
        value = (value ^ (uint8_t)(byte - (byte >= 'a' && byte <= 'z' ? 32 : 0))) * 0x100000001b3u;
    }
    int64_t key = (int64_t)(value & INT64_MAX);
    return key ? key : 1;
}

/* The value of a text of ASCII alone. */
static int64_t value_of(const struct field *field, struct span text)
{
    text = stripped(text);
    switch (field->kind) {
    case DAY: return day(text);
    case NPI: return npi(text);
    case PLACE: return place(text);
    case ZIP5: return zip5(text);
    case WORD: return word_key(text);
    default: return code36(text, field->size);
    }
}

/* The cell of the next entry of a list; none where there are more than its columns hold. */
static uint8_t *next_entry(const struct target *to)
{
    const struct field *field = to->field;
    int32_t count = count_up(column(to->pass, to->table, field->next) + to->row * 4);
    return count < field->entries ? cell_of(to) + count * field->size : 0;
}

static void take_entry(const struct target *to, int64_t value)
{
    uint8_t *cell = next_entry(to);
    if (cell)
        store(cell, to->field->size, value);
}

static int take_packed(const struct target *to, struct span bytes)
{
    uint64_t value;
    while (bytes.at < bytes.end) {
        if (!varint(&bytes, &value))
            return MALFORMED;
        take_entry(to, (int64_t)value);
    }
    return OK;
}

static int take_filled(const struct target *to, struct span text, int seen)
{
    if (is_filled(text))
        *cell_of(to) = 1;
    else if (seen & HIGH)
        return FOREIGN;
    return OK;
}

static void store_place(uint8_t *at, const struct pass *pass, struct span bytes)
{
    store(at, 4, bytes.at - pass->start);
    store(at + 4, 4, bytes.end - pass->start);
}

static int take_value(const struct target *to, struct span text, int seen)
{
    const struct field *field = to->field;
    if (seen & HIGH && field->kind != WORD)
        return FOREIGN;
    int64_t value = value_of(field, text);
    if (field->kind == DAY && value == ABSENT_DAY && is_filled(text))
        to->pass->doubtful[claim_of(to->pass)] = 1;
    if (field->kind == CODES)
        take_entry(to, value);
    else
        store(cell_of(to), field->size, value);
    return OK;
}

static int take_text(const struct target *to, struct span text)
{
    const struct field *field = to->field;
    int seen = odd(text);
    if (field->limit && (text.end - text.at > field->limit || (seen & CONTROL)))
        to->pass->doubtful[claim_of(to->pass)] = 1;
    switch (field->kind) {
    case TEXT:
        return OK;
    case KEPT:
        store_place(cell_of(to), to->pass, text);
        return OK;
    case FILLED:
        return take_filled(to, text, seen);
    default:
        return take_value(to, text, seen);
    }
}

static int take_row(struct pass *pass, int32_t number, struct span bytes)
{
    const struct message *message = pass->messages + number;
    int64_t row = pass->taken[message->table]++;
    if (!pass->blocks)
        return message->nests ? walk(pass, number, bytes, row) : OK;
    if (row >= pass->rows[message->table])
        return NO_ROOM;
    uint8_t *owner = column(pass, message->table, message->owner);
    if (message->table)
        store(owner + row * 4, 4, claim_of(pass));
    else
        store_place(owner + row * 8, pass, bytes);
    return walk(pass, number, bytes, row);
}

static int take_length(const struct target *to, struct span bytes)
{
    if (to->field->kind == ROWS)
        return take_row(to->pass, to->field->next, bytes);
    if (!to->pass->blocks)
        return OK;
    switch (to->field->kind) {
    case SKIPPED:
    case INT:
    case BOOL:
        return OK;
    case COUNT:
        count_up(cell_of(to));
        return OK;
    case INTS:
        return take_packed(to, bytes);
    case ROLE:
        *cell_of(to) = 1;
        return walk(to->pass, to->field->next, bytes, to->row);
    default:
        return take_text(to, bytes);
    }
}

static void take_varint(const struct target *to, uint64_t value)
{
    if (!to->pass->blocks)
        return;
    switch (to->field->kind) {
    case INT:
        store(cell_of(to), to->field->size, (int64_t)value);
        break;
    case BOOL:
        *cell_of(to) = value != 0;
        break;
    case INTS:
        take_entry(to, (int64_t)value);
    }
}

/* Read one message into its row. */
static int walk(struct pass *pass, int32_t number, struct span bytes, int64_t row)
{
    static const struct field unknown = {SKIPPED, 0, 0, 0, 0, 0};
    const struct message *message = pass->messages + number;
    while (bytes.at < bytes.end) {
        uint64_t tag, value;
        if (!varint(&bytes, &tag))
            return MALFORMED;
        int known = tag >> 3 < (uint64_t)message->fields;
        struct target to = {
            pass, known ? pass->fields + message->first + (tag >> 3) : &unknown, message->table, row
        };
        switch (tag & 7) {
        case VARINT:
            if (!varint(&bytes, &value))
                return MALFORMED;
            take_varint(&to, value);
            continue;
        case LENGTH:
            if (!varint(&bytes, &value))
                return MALFORMED;
            break;
        case EIGHT_BYTES:
        case FOUR_BYTES:
            value = (tag & 7) == EIGHT_BYTES ? 8 : 4;
            to.field = &unknown;
            break;
        default:
            return MALFORMED;
        }
        if (value > (uint64_t)(bytes.end - bytes.at))
            return MALFORMED;
        struct span inner = {bytes.at, bytes.at + value};
        bytes.at = inner.end;
        int outcome = take_length(&to, inner);
        if (outcome != OK)
            return outcome;
    }
    return OK;
}

/* Set what a field that is left out is, where that is not 0. */
static void set_absent(const struct pass *pass, const struct message *message)
{
    for (int32_t n = 0; n < message->fields; n++) {
        const struct field *field = pass->fields + message->first + n;
        if (field->kind != DAY && field->kind != PLACE)
            continue;
        int64_t absent = field->kind == DAY ? ABSENT_DAY : POS_ABSENT;
        uint8_t *cell = column(pass, message->table, field->offset);
        for (int64_t row = 0; row < pass->rows[message->table]; row++)
            store(cell + row * field->size, field->size, absent);
    }
}

/* Count the rows of every table. Message 0 is the batch; `rows` begins with zeros. */
int count_rows(const uint8_t *bytes, int64_t size, const struct field *fields,
               const struct message *messages, int64_t *rows)
{
    struct pass pass = {fields, messages, bytes, 0, 0, rows, 0};
    struct span all = {bytes, bytes + size};
    return walk(&pass, 0, all, 0);
}

/* Fill the columns, which begin as zeros. `rows` is what count_rows found; `taken` begins with
   zeros. */
int fill_columns(const uint8_t *bytes, int64_t size, const struct field *fields,
                 const struct message *messages, int32_t message_count, int32_t table_count,
                 uint8_t *const *blocks, const int64_t *rows, int64_t *taken, uint8_t *doubtful)
{
    struct pass pass = {fields, messages, bytes, blocks, rows, taken, doubtful};
    struct span all = {bytes, bytes + size};
    for (int32_t number = 0; number < message_count; number++)
        set_absent(&pass, messages + number);
    int outcome = walk(&pass, 0, all, 0);
    for (int32_t table = 0; table < table_count && outcome == OK; table++)
        if (taken[table] != rows[table])
            outcome = NO_ROOM;
    return outcome;
}

/* Which source this was built from; ops/build_native.py says it. */
int64_t built_from(void)
{
    return SOURCE_ID;
}
