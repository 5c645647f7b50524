/* Serialized claims and their answers to the rows of tables, as PostgreSQL's binary COPY has them.

   What a column is made of stands in tables that loader/rows_native.py makes from the API's
   descriptors: nothing here knows a field or a column by number or name. loader/rows.py is the
   authority on every value; what is unusual (a day in another form, a number that does not fit, a
   message within that comes twice) is FOREIGN, and then Python writes the rows.

   No length is trusted, nothing is allocated, no state is kept between calls. */

#include <stdint.h>
#include <string.h>

enum kind { SKIPPED, NUMBER, NARROW, REAL, TEXT_VALUE, ROLE, LIST };
enum outcome { OK, FOREIGN, NO_ROOM };
enum wire { VARINT = 0, EIGHT_BYTES = 1, LENGTH = 2, FOUR_BYTES = 5 };
enum op {
    CONSTANT, RAW, SIZED, KEPT, TEXT, DAY, INT8, INT2, CLAMPED, COUNT, ORDINAL, OPTIONAL, FLAG, WORD,
    NUMERIC, SCORE, TEXTS, NUMBERS, CODES, FIRST_CODE, JSON
};
enum per { CLAIM, LINE, HIT };

#define NONE (-1)
#define SLOTS_MAX 96
#define NODES_MAX 8192
#define TEXT_TYPE 25
#define SMALLINT_TYPE 21
#define NO_DAY INT64_MIN
#define DAYS_TO_2000 10957 /* from 1970 */

struct field {
    int32_t kind;
    int32_t slot;   /* NUMBER to TEXT_VALUE, LIST: where it is kept */
    int32_t within; /* ROLE: the message within */
};

struct message {
    int32_t first; /* place of its fields, from the one numbered 0 */
    int32_t fields;
};

struct column {
    int32_t op;
    int32_t source[3]; /* slots; the first that is there counts */
    int32_t literal;   /* TEXT: what stands for none; WORD: the first word */
    int32_t extra;
};

/* A kind of row, and what is read for it. */
struct table {
    int32_t per;
    int32_t columns;
    int32_t lines, results, hits;     /* slots of these lists */
    int32_t line, result, hit;        /* messages of their elements */
    int32_t line_slots, hit_slots;    /* first slots that belong to an element */
    int32_t claim, answer;            /* messages of claim and answer; NONE where not read */
};

struct literals {
    const uint8_t *bytes;
    const int32_t *ends; /* of each; the first one starts at 0 */
};

struct span {
    const uint8_t *at;
    const uint8_t *end;
};

struct slot {
    struct span span;
    uint64_t value;
    int32_t first, last, count; /* of a list: its nodes */
    int32_t present; /* 1 a number, 2 a text */
};

struct node {
    struct span span;
    int32_t next;
};

struct plan {
    const struct field *fields;
    const struct message *messages;
    const struct column *columns;
    struct literals literals;
};

/* All that one row is made of. */
struct row {
    const struct plan *plan;
    struct slot slots[SLOTS_MAX];
    int32_t nodes;
    struct node node[NODES_MAX];
    const uint8_t *const *constants;
    const int64_t *constant_sizes;
    const uint8_t *const *texts; /* of this claim, beside what is read */
    const int64_t *text_sizes;
    const int64_t *numbers;
    int64_t ordinal;
    uint8_t *out, *end;
};

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

/* Cut a field's content off; 0 where the bytes end before it does. */
static int cut(struct span *bytes, int wire, struct span *content, uint64_t *value)
{
    uint64_t size;
    *value = 0;
    switch (wire) {
    case VARINT:
        content->at = bytes->at;
        if (!varint(bytes, value))
            return 0;
        content->end = bytes->at;
        return 1;
    case EIGHT_BYTES: size = 8; break;
    case FOUR_BYTES: size = 4; break;
    case LENGTH:
        if (!varint(bytes, &size))
            return 0;
        break;
    default: return 0;
    }
    if (size > (uint64_t)(bytes->end - bytes->at))
        return 0;
    content->at = bytes->at;
    content->end = bytes->at += size;
    if (wire == EIGHT_BYTES)
        memcpy(value, content->at, 8);
    return 1;
}

static int wire_of(int32_t kind)
{
    if (kind == NUMBER || kind == NARROW)
        return VARINT;
    return kind == REAL ? EIGHT_BYTES : LENGTH;
}

static int add_node(struct row *row, struct slot *list, struct span content)
{
    if (row->nodes == NODES_MAX)
        return FOREIGN;
    struct node *node = &row->node[row->nodes];
    node->span = content;
    node->next = NONE;
    if (list->count++)
        row->node[list->last].next = row->nodes;
    else
        list->first = row->nodes;
    list->last = row->nodes++;
    return OK;
}

/* Keep what is read of a message in its slots. */
static int walk(struct row *row, int32_t number, struct span bytes)
{
    const struct message *message = &row->plan->messages[number];
    uint64_t seen_roles = 0;
    while (bytes.at < bytes.end) {
        uint64_t tag, value;
        struct span content;
        if (!varint(&bytes, &tag) || !cut(&bytes, (int)(tag & 7), &content, &value))
            return FOREIGN;
        uint64_t place = tag >> 3;
        if (place >= (uint64_t)message->fields)
            continue;
        const struct field *field = &row->plan->fields[message->first + place];
        if (field->kind == SKIPPED)
            continue;
        if ((int)(tag & 7) != wire_of(field->kind))
            return FOREIGN;
        int outcome = OK;
        struct slot *slot = &row->slots[field->slot];
        switch (field->kind) {
        case ROLE:
            if (place < 64 && (seen_roles >> place & 1))
                return FOREIGN; /* protobuf would merge the two */
            seen_roles |= place < 64 ? (uint64_t)1 << place : 0;
            outcome = walk(row, field->within, content);
            break;
        case LIST: outcome = add_node(row, slot, content); break;
        case NARROW: value = (uint64_t)(int64_t)(int32_t)value; /* fall through */
        default:
            slot->span = content;
            slot->value = value;
            slot->present = field->kind == TEXT_VALUE ? 2 : 1;
        }
        if (outcome != OK)
            return outcome;
    }
    return OK;
}

/* Writing. ------------------------------------------------------------------------------------- */

static void big_endian(uint8_t *at, uint64_t value, int size)
{
    while (size--) {
        at[size] = (uint8_t)value;
        value >>= 8;
    }
}

static int put(struct row *row, const uint8_t *bytes, int64_t size)
{
    if (row->end - row->out < size)
        return NO_ROOM;
    memcpy(row->out, bytes, (size_t)size);
    row->out += size;
    return OK;
}

static int put_int(struct row *row, uint64_t value, int size)
{
    if (row->end - row->out < size)
        return NO_ROOM;
    big_endian(row->out, value, size);
    row->out += size;
    return OK;
}

static int put_field(struct row *row, uint64_t value, int size)
{
    if (row->end - row->out < 4 + size)
        return NO_ROOM;
    big_endian(row->out, (uint64_t)size, 4);
    big_endian(row->out + 4, value, size);
    row->out += 4 + size;
    return OK;
}

static int put_null(struct row *row)
{
    return put_int(row, UINT64_MAX, 4);
}

static int put_sized(struct row *row, const uint8_t *bytes, int64_t size)
{
    if (size > INT32_MAX)
        return FOREIGN;
    int outcome = put_int(row, (uint64_t)size, 4);
    return outcome == OK ? put(row, bytes, size) : outcome;
}

static int put_span(struct row *row, struct span text)
{
    return put_sized(row, text.at, text.end - text.at);
}

static struct span literal(const struct row *row, int32_t number)
{
    const struct literals *all = &row->plan->literals;
    int32_t first = number ? all->ends[number - 1] : 0;
    struct span text = {all->bytes + first, all->bytes + all->ends[number]};
    return text;
}

/* The first of its sources that holds text; an empty one where none does. */
static struct span text_of(const struct row *row, const struct column *column)
{
    struct span none = {0, 0};
    for (int n = 0; n < 3 && column->source[n] != NONE; n++) {
        const struct slot *slot = &row->slots[column->source[n]];
        if (slot->present && slot->span.at < slot->span.end)
            return slot->span;
    }
    return none;
}

static int put_text(struct row *row, const struct column *column)
{
    struct span text = text_of(row, column);
    return put_span(row, text.at == text.end ? literal(row, column->literal) : text);
}

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

/* Days since 1970-01-01 of YYYY-MM-DD; NO_DAY for any other text. */
static int64_t day_of(struct span text)
{
    static const int before[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365};
    const uint8_t *at = text.at;
    if (text.end - at != 10 || at[4] != '-' || at[7] != '-')
        return NO_DAY;
    int64_t year = decimal(at, 4), month = decimal(at + 5, 2), day = decimal(at + 8, 2);
    if (year < 1 || month < 1 || month > 12 || day < 1)
        return NO_DAY;
    int leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    if (day > before[month] - before[month - 1] + (leap && month == 2))
        return NO_DAY;
    int64_t past = year - 1;
    return past * 365 + past / 4 - past / 100 + past / 400 - 719162 + before[month - 1] +
        (leap && month > 2) + day - 1;
}

static int put_day(struct row *row, const struct column *column)
{
    struct span text = text_of(row, column);
    if (text.at == text.end)
        return put_null(row);
    int64_t day = day_of(text);
    return day == NO_DAY ? FOREIGN : put_field(row, (uint64_t)(day - DAYS_TO_2000), 4);
}

static int put_smallint(struct row *row, int64_t value)
{
    return value < INT16_MIN || value > INT16_MAX ? FOREIGN : put_field(row, (uint64_t)value, 2);
}

/* An integer that counts the last of (at most four) decimals, as a NUMERIC. */
static int put_numeric(struct row *row, int64_t value, int decimals)
{
    uint8_t digits[16];
    uint64_t rest = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    for (int n = decimals; n < 4; n++) {
        if (rest > UINT64_MAX / 10)
            return FOREIGN;
        rest *= 10;
    }
    int count = 0;
    while (rest && count < 6) { /* the last first */
        big_endian(digits + 2 * count++, rest % 10000, 2);
        rest /= 10000;
    }
    int weight = count ? count - 2 : 0, zeros = 0;
    while (zeros < count && !digits[2 * zeros] && !digits[2 * zeros + 1])
        zeros++;
    int kept = count - zeros;
    if (row->end - row->out < 12 + 2 * kept)
        return NO_ROOM;
    uint8_t *at = row->out;
    big_endian(at, (uint64_t)(8 + 2 * kept), 4);
    big_endian(at + 4, (uint64_t)kept, 2);
    big_endian(at + 6, (uint64_t)(kept ? weight : 0), 2);
    big_endian(at + 8, value < 0 ? 0x4000 : 0, 2);
    big_endian(at + 10, (uint64_t)decimals, 2);
    at += 12;
    for (int n = count - 1; n >= zeros; n--, at += 2)
        memcpy(at, digits + 2 * n, 2);
    row->out = at;
    return OK;
}

/* A score of nine decimals as four, half up. */
static int put_score(struct row *row, const struct slot *slot)
{
    double score = 0;
    if (slot->present)
        memcpy(&score, &slot->value, 8);
    double scaled = score * 1e9;
    if (!(scaled > -1e15 && scaled < 1e15))
        return FOREIGN;
    int64_t whole = (int64_t)scaled;
    double left = scaled - (double)whole; /* to the nearest, of two as near to the even one */
    if (left > 0.5 || (left == 0.5 && whole % 2))
        whole++;
    else if (left < -0.5 || (left == -0.5 && whole % 2))
        whole--;
    int64_t sum = whole + 50000, quotient = sum / 100000;
    return put_numeric(row, quotient - (sum % 100000 < 0), 4);
}

/* Lists. --------------------------------------------------------------------------------------- */

/* Leave room for a size that is not known yet. */
static int open_size(struct row *row, uint8_t **at)
{
    *at = row->out;
    return put_int(row, 0, 4);
}

static void close_size(struct row *row, uint8_t *at)
{
    big_endian(at, (uint64_t)(row->out - at - 4), 4);
}

static int put_array_head(struct row *row, int64_t count, int type)
{
    int outcome = put_int(row, count ? 1 : 0, 4);
    if (outcome == OK)
        outcome = put_int(row, 0, 4);
    if (outcome == OK)
        outcome = put_int(row, (uint64_t)type, 4);
    if (!count || outcome != OK)
        return outcome;
    outcome = put_int(row, (uint64_t)count, 4);
    return outcome == OK ? put_int(row, 1, 4) : outcome;
}

/* The last text under a number within a message; an empty one where there is none. */
static int text_within(struct span bytes, uint64_t number, struct span *found)
{
    found->at = found->end = bytes.at;
    while (bytes.at < bytes.end) {
        uint64_t tag, value;
        struct span content;
        if (!varint(&bytes, &tag) || !cut(&bytes, (int)(tag & 7), &content, &value))
            return FOREIGN;
        if (tag >> 3 != number)
            continue;
        if ((tag & 7) != LENGTH)
            return FOREIGN;
        *found = content;
    }
    return OK;
}

static int element(const struct node *node, const struct column *column, struct span *text)
{
    if (column->op == TEXTS) {
        *text = node->span;
        return OK;
    }
    return text_within(node->span, (uint64_t)column->extra, text);
}

static int put_texts(struct row *row, const struct column *column)
{
    const struct slot *list = &row->slots[column->source[0]];
    uint8_t *size;
    int outcome = open_size(row, &size);
    if (outcome == OK)
        outcome = put_array_head(row, list->count, TEXT_TYPE);
    int32_t at = list->first;
    for (int32_t n = 0; n < list->count && outcome == OK; n++, at = row->node[at].next) {
        struct span text;
        outcome = element(&row->node[at], column, &text);
        if (outcome == OK)
            outcome = put_span(row, text);
    }
    if (outcome == OK)
        close_size(row, size);
    return outcome;
}

static int put_first_code(struct row *row, const struct column *column)
{
    const struct slot *list = &row->slots[column->source[0]];
    struct span text;
    if (!list->count)
        return put_int(row, 0, 4);
    int outcome = element(&row->node[list->first], column, &text);
    return outcome == OK ? put_span(row, text) : outcome;
}

/* Packed numbers of 32 bits, each in 16. */
static int put_numbers(struct row *row, const struct column *column)
{
    const struct slot *list = &row->slots[column->source[0]];
    int64_t count = 0;
    int32_t at = list->first;
    for (int32_t n = 0; n < list->count; n++, at = row->node[at].next) {
        struct span span = row->node[at].span;
        uint64_t value;
        while (span.at < span.end) {
            if (!varint(&span, &value))
                return FOREIGN;
            count++;
        }
    }
    uint8_t *size;
    int outcome = open_size(row, &size);
    if (outcome == OK)
        outcome = put_array_head(row, count, SMALLINT_TYPE);
    at = list->first;
    for (int32_t n = 0; n < list->count && outcome == OK; n++, at = row->node[at].next) {
        struct span span = row->node[at].span;
        uint64_t value = 0;
        while (span.at < span.end && outcome == OK) {
            varint(&span, &value);
            outcome = put_smallint(row, (int32_t)value);
        }
    }
    if (outcome == OK)
        close_size(row, size);
    return outcome;
}

static int put_json_text(struct row *row, struct span text)
{
    static const char digit[] = "0123456789abcdef";
    if (row->end - row->out < 6 * (text.end - text.at) + 2)
        return NO_ROOM;
    *row->out++ = '"';
    for (; text.at < text.end; text.at++) {
        uint8_t byte = *text.at;
        if (byte == '"' || byte == '\\') {
            *row->out++ = '\\';
            *row->out++ = byte;
        } else if (byte < 0x20) {
            memcpy(row->out, "\\u00", 4);
            row->out[4] = (uint8_t)digit[byte >> 4];
            row->out[5] = (uint8_t)digit[byte & 15];
            row->out += 6;
        } else {
            *row->out++ = byte;
        }
    }
    *row->out++ = '"';
    return OK;
}

/* The entries of a map of texts as jsonb, which takes the last of those under one key. */
static int put_json(struct row *row, const struct column *column)
{
    const struct slot *list = &row->slots[column->source[0]];
    uint8_t *size;
    int outcome = open_size(row, &size);
    if (outcome == OK)
        outcome = put(row, (const uint8_t *)"\1{", 2);
    int32_t at = list->first;
    for (int32_t n = 0; n < list->count && outcome == OK; n++, at = row->node[at].next) {
        struct span key, value;
        if (text_within(row->node[at].span, 1, &key) || text_within(row->node[at].span, 2, &value))
            return FOREIGN;
        if (n)
            outcome = put(row, (const uint8_t *)",", 1);
        if (outcome == OK)
            outcome = put_json_text(row, key);
        if (outcome == OK)
            outcome = put(row, (const uint8_t *)":", 1);
        if (outcome == OK)
            outcome = put_json_text(row, value);
    }
    if (outcome == OK)
        outcome = put(row, (const uint8_t *)"}", 1);
    if (outcome == OK)
        close_size(row, size);
    return outcome;
}

/* Rows. ---------------------------------------------------------------------------------------- */

static int put_column(struct row *row, const struct column *column)
{
    int32_t source = column->source[0];
    const struct slot *slot = source == NONE ? 0 : &row->slots[source];
    int64_t number = slot && slot->present ? (int64_t)slot->value : 0;
    switch (column->op) {
    case CONSTANT: return put(row, row->constants[column->extra], row->constant_sizes[column->extra]);
    case RAW: return put(row, row->texts[column->extra], row->text_sizes[column->extra]);
    case SIZED: return put_sized(row, row->texts[column->extra], row->text_sizes[column->extra]);
    case KEPT: return put_field(row, (uint64_t)row->numbers[column->extra], 8);
    case TEXT: return put_text(row, column);
    case DAY: return put_day(row, column);
    case INT8: return put_field(row, (uint64_t)number, 8);
    case INT2: return put_smallint(row, number);
    case CLAMPED:
        number = number < 1 ? 1 : number > column->extra ? column->extra : number;
        return put_smallint(row, number);
    case COUNT: return put_smallint(row, slot->count);
    case ORDINAL: return put_smallint(row, row->ordinal);
    case OPTIONAL: return slot->present ? put_field(row, (uint64_t)number, 8) : put_null(row);
    case FLAG: return put_field(row, number != 0, 1);
    case WORD:
        if (number < 0 || number >= column->extra)
            return FOREIGN;
        return put_span(row, literal(row, column->literal + (int32_t)number));
    case NUMERIC: return put_numeric(row, number, column->extra);
    case SCORE: return !slot->present && column->extra ? put_null(row) : put_score(row, slot);
    case TEXTS: /* fall through */
    case CODES: return put_texts(row, column);
    case NUMBERS: return put_numbers(row, column);
    case FIRST_CODE: return put_first_code(row, column);
    case JSON: return put_json(row, column);
    default: return FOREIGN;
    }
}

static int put_row(struct row *row, const struct table *table)
{
    int outcome = OK;
    for (int32_t n = 0; n < table->columns && outcome == OK; n++)
        outcome = put_column(row, &row->plan->columns[n]);
    return outcome;
}

static void clear(struct row *row, int32_t first)
{
    memset(row->slots + first, 0, sizeof row->slots[0] * (size_t)(SLOTS_MAX - first));
}

/* A row for each line, with its price where every line has one. */
static int put_lines(struct row *row, const struct table *table)
{
    const struct slot *lines = &row->slots[table->lines], *results = &row->slots[table->results];
    int priced = results->count == lines->count, outcome = OK;
    int32_t nodes = row->nodes, line = lines->first, result = results->first;
    for (int32_t n = 0; n < lines->count && outcome == OK; n++) {
        row->nodes = nodes;
        clear(row, table->line_slots);
        outcome = walk(row, table->line, row->node[line].span);
        line = row->node[line].next;
        if (priced && outcome == OK) {
            outcome = walk(row, table->result, row->node[result].span);
            result = row->node[result].next;
        }
        if (outcome == OK)
            outcome = put_row(row, table);
    }
    return outcome;
}

static int put_hits(struct row *row, const struct table *table)
{
    const struct slot *hits = &row->slots[table->hits];
    int32_t nodes = row->nodes, hit = hits->first;
    int outcome = OK;
    for (row->ordinal = 1; row->ordinal <= hits->count && outcome == OK; row->ordinal++) {
        row->nodes = nodes;
        clear(row, table->hit_slots);
        outcome = walk(row, table->hit, row->node[hit].span);
        hit = row->node[hit].next;
        if (outcome == OK)
            outcome = put_row(row, table);
    }
    return outcome;
}

static int read_claim(struct row *row, const struct table *table, struct span claim,
                      struct span answer)
{
    row->nodes = 0;
    clear(row, 0);
    int outcome = table->claim == NONE ? OK : walk(row, table->claim, claim);
    if (outcome == OK && table->answer != NONE)
        outcome = walk(row, table->answer, answer);
    return outcome;
}

/* Write the rows of claims one after the other.

   `claims` and `answers` point to the serialized messages of each claim, `texts` to the
   `texts_of_each` other texts of each, `numbers` to the `numbers_of_each` numbers of each. `used`
   takes the bytes written. */
int write_rows(const struct table *table, const struct field *fields,
               const struct message *messages, const struct column *columns,
               const uint8_t *literals, const int32_t *literal_ends, int64_t count,
               const uint8_t *const *claims, const int64_t *claim_sizes,
               const uint8_t *const *answers, const int64_t *answer_sizes,
               const uint8_t *const *constants, const int64_t *constant_sizes,
               const uint8_t *const *texts, const int64_t *text_sizes, int64_t texts_of_each,
               const int64_t *numbers, int64_t numbers_of_each, uint8_t *out, int64_t room,
               int64_t *used)
{
    struct plan plan = {fields, messages, columns, {literals, literal_ends}};
    struct row row;
    row.plan = &plan;
    row.constants = constants;
    row.constant_sizes = constant_sizes;
    row.out = out;
    row.end = out + room;
    for (int64_t n = 0; n < count; n++) {
        struct span claim = {claims[n], claims[n] + claim_sizes[n]};
        struct span answer = {answers[n], answers[n] + answer_sizes[n]};
        row.texts = texts + n * texts_of_each;
        row.text_sizes = text_sizes + n * texts_of_each;
        row.numbers = numbers + n * numbers_of_each;
        int outcome = read_claim(&row, table, claim, answer);
        if (outcome == OK && table->per == LINE)
            outcome = put_lines(&row, table);
        else if (outcome == OK && table->per == HIT)
            outcome = put_hits(&row, table);
        else if (outcome == OK)
            outcome = put_row(&row, table);
        if (outcome != OK)
            return outcome;
    }
    *used = row.out - out;
    return OK;
}

/* Numbers and places of texts of each claim: what a loader has to know of it before its rows.

   Of each slot that is asked for: a number, the number of entries of a list, or the place and size
   of a text. `facts` has room for two numbers per slot. */
int read_facts(const struct field *fields, const struct message *messages, int32_t claim,
               int64_t count, const uint8_t *const *claims, const int64_t *claim_sizes,
               int32_t wanted, int64_t *facts)
{
    struct plan plan = {fields, messages, 0, {0, 0}};
    struct row row;
    row.plan = &plan;
    for (int64_t n = 0; n < count; n++) {
        struct span bytes = {claims[n], claims[n] + claim_sizes[n]};
        row.nodes = 0;
        clear(&row, 0);
        int outcome = walk(&row, claim, bytes);
        if (outcome != OK)
            return outcome;
        for (int32_t slot = 0; slot < wanted; slot++, facts += 2) {
            const struct slot *found = &row.slots[slot];
            facts[0] = found->count ? found->count : (int64_t)found->value;
            facts[1] = 0;
            if (found->present == 2) {
                facts[0] = found->span.at - bytes.at;
                facts[1] = found->span.end - found->span.at;
            }
        }
    }
    return OK;
}

/* Which source this was built from; ops/build_native.py says it. */
int64_t built_from(void)
{
    return SOURCE_ID;
}
