/* Whether the wire bytes of a message are beyond doubt: what protobuf reads, and written as
   protobuf writes it. One walk over all of them.

   Which fields there are stands in tables that engine/checks_native.py makes from the API's
   descriptors. What is unusual in any way (an unknown field, a singular one that comes twice, text
   that is not UTF-8, a number that is too long) is UNSURE: then protobuf itself is asked.

   No length is trusted, nothing is allocated, no state is kept between calls. */

#include <stdint.h>
#include <string.h>

enum kind { STRANGE, NUMBER, NUMBERS, TEXT, TEXTS, MESSAGE, MESSAGES };
enum outcome { OK, UNSURE };
enum wire { VARINT = 0, EIGHT_BYTES = 1, LENGTH = 2, GROUP = 3, GROUP_END = 4, FOUR_BYTES = 5 };

#define TAG_BYTES 5
#define NUMBER_BYTES 10
#define NESTED_MAX 32
#define HIGH_BITS 0x8080808080808080u

/* One field of a message, by its number. */
struct field {
    int32_t kind;
    int32_t within; /* MESSAGE, MESSAGES: the message within */
    int32_t most;   /* of a map: most entries that are beyond doubt, as a key may come twice */
};

struct message {
    int32_t first; /* place of its fields, from the one numbered 0 */
    int32_t fields;
};

struct plan {
    const struct field *fields;
    const struct message *messages;
};

struct span {
    const uint8_t *at;
    const uint8_t *end;
};

/* Read a varint; 0 where it is longer than allowed, or than the bytes. */
static int varint(struct span *bytes, int most, uint64_t *value)
{
    uint64_t read = 0;
    for (int n = 0; n < most && bytes->at < bytes->end; n++) {
        uint8_t byte = *bytes->at++;
        if (n == NUMBER_BYTES - 1 && byte > 1)
            return 0;
        read |= (uint64_t)(byte & 0x7f) << 7 * n;
        if (byte < 0x80) {
            *value = read;
            return 1;
        }
    }
    return 0;
}

static int follows(const uint8_t *at, int count)
{
    for (int n = 1; n <= count; n++)
        if ((at[n] & 0xc0) != 0x80)
            return 0;
    return 1;
}

/* How many bytes the character at hand has beyond the first; -1 where it is none (RFC 3629). */
static int continued(struct span text)
{
    int64_t left = text.end - text.at;
    const uint8_t *at = text.at;
    if (*at < 0x80)
        return 0;
    if (*at >= 0xc2 && *at < 0xe0)
        return left > 1 && follows(at, 1) ? 1 : -1;
    if (*at >= 0xe0 && *at < 0xf0) {
        if (left < 3 || !follows(at, 2))
            return -1;
        int overlong = *at == 0xe0 && at[1] < 0xa0;
        int surrogate = *at == 0xed && at[1] > 0x9f;
        return overlong || surrogate ? -1 : 2;
    }
    if (*at >= 0xf0 && *at < 0xf5) {
        if (left < 4 || !follows(at, 3))
            return -1;
        int overlong = *at == 0xf0 && at[1] < 0x90;
        int beyond = *at == 0xf4 && at[1] > 0x8f;
        return overlong || beyond ? -1 : 3;
    }
    return -1;
}

static int is_text(struct span text)
{
    while (text.at < text.end) {
        uint64_t eight;
        if (text.end - text.at >= 8) {
            memcpy(&eight, text.at, 8);
            if (!(eight & HIGH_BITS)) {
                text.at += 8;
                continue;
            }
        }
        int more = continued(text);
        if (more < 0)
            return 0;
        text.at += 1 + more;
    }
    return 1;
}

static int is_packed(struct span bytes)
{
    uint64_t value;
    while (bytes.at < bytes.end)
        if (!varint(&bytes, NUMBER_BYTES, &value))
            return 0;
    return 1;
}

static int walk(const struct plan *plan, int32_t number, struct span bytes, int nested,
                int64_t *entries);

static int is_sure(const struct plan *plan, const struct field *field, struct span inner,
                   int nested)
{
    int64_t entries;
    switch (field->kind) {
    case NUMBERS: return is_packed(inner);
    case TEXT:
    case TEXTS: return is_text(inner);
    case MESSAGE:
    case MESSAGES: return walk(plan, field->within, inner, nested + 1, &entries) == OK;
    default: return 0;
    }
}

/* `entries` becomes the number of messages in lists within the one that is walked. */
static int walk(const struct plan *plan, int32_t number, struct span bytes, int nested,
                int64_t *entries)
{
    const struct message *message = plan->messages + number;
    uint64_t seen[2] = {0, 0};
    uint64_t tag, value;
    int32_t of_maps = 0;
    *entries = 0;
    if (nested > NESTED_MAX)
        return UNSURE;
    while (bytes.at < bytes.end) {
        if (!varint(&bytes, TAG_BYTES, &tag) || tag >> 3 >= (uint64_t)message->fields)
            return UNSURE;
        const struct field *field = plan->fields + message->first + (tag >> 3);
        uint64_t bit = (uint64_t)1 << (tag >> 3 & 63);
        uint64_t *before = seen + (tag >> 9);
        if (field->kind == NUMBER || field->kind == TEXT || field->kind == MESSAGE) {
            if (*before & bit)
                return UNSURE;
            *before |= bit;
        }
        if ((tag & 7) == VARINT) {
            int numeric = field->kind == NUMBER || field->kind == NUMBERS;
            if (!numeric || !varint(&bytes, NUMBER_BYTES, &value))
                return UNSURE;
            continue;
        }
        if ((tag & 7) != LENGTH || !varint(&bytes, TAG_BYTES, &value)
            || value > (uint64_t)(bytes.end - bytes.at))
            return UNSURE;
        struct span inner = {bytes.at, bytes.at + value};
        bytes.at = inner.end;
        if (!is_sure(plan, field, inner, nested))
            return UNSURE;
        *entries += field->kind == MESSAGES;
        if (field->most && ++of_maps > field->most)
            return UNSURE;
    }
    return OK;
}

/* Walk message 0; `entries` becomes the number of messages in its lists. */
int check_message(const uint8_t *bytes, int64_t size, const struct field *fields,
                  const struct message *messages, int64_t *entries)
{
    struct plan plan = {fields, messages};
    struct span all = {bytes, bytes + size};
    return walk(&plan, 0, all, 0, entries);
}

/* Step over what a tag announces; what it holds is only there for LENGTH. 0 where it is cut off. */
static int step(struct span *bytes, uint64_t tag, struct span *inner)
{
    uint64_t value = 0;
    inner->at = inner->end = bytes->at;
    switch (tag & 7) {
    case VARINT: return varint(bytes, NUMBER_BYTES, &value);
    case EIGHT_BYTES: value = 8; break;
    case FOUR_BYTES: value = 4; break;
    case GROUP:
    case GROUP_END: return 1;
    case LENGTH:
        if (!varint(bytes, TAG_BYTES, &value))
            return 0;
        break;
    default: return 0;
    }
    if (value > (uint64_t)(bytes->end - bytes->at))
        return 0;
    inner->at = bytes->at;
    inner->end = bytes->at += value;
    return 1;
}

static int64_t entries_in(const struct plan *plan, int32_t number, struct span bytes, int nested)
{
    const struct message *message = plan->messages + number;
    struct span inner;
    uint64_t tag;
    int64_t entries = 0;
    if (nested > NESTED_MAX)
        return 0;
    while (bytes.at < bytes.end && varint(&bytes, TAG_BYTES, &tag) && step(&bytes, tag, &inner)) {
        if ((tag & 7) != LENGTH || tag >> 3 >= (uint64_t)message->fields)
            continue;
        const struct field *field = plan->fields + message->first + (tag >> 3);
        if (field->kind == MESSAGES || field->kind == MESSAGE) {
            entries += field->kind == MESSAGES;
            entries += entries_in(plan, field->within, inner, nested + 1);
        }
    }
    return entries;
}

/* How many messages there are in lists within message 0, at any depth. What is unusual is stepped
   over; where the bytes are no message at all it is what came before. */
int64_t count_entries(const uint8_t *bytes, int64_t size, const struct field *fields,
                      const struct message *messages)
{
    struct plan plan = {fields, messages};
    struct span all = {bytes, bytes + size};
    return entries_in(&plan, 0, all, 0);
}

/* Which source this was built from; ops/build_native.py says it. */
int64_t built_from(void)
{
    return SOURCE_ID;
}
