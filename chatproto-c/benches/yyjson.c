/* The same extraction with yyjson: the four strings of a message. Its memory comes from a pool, so
 * that it need not allocate either. Compiled by decode.rs, together with yyjson.c. */
#include "yyjson.h"

typedef struct {
    const char *ptr;
    size_t len;
} text;

static int get(yyjson_val *object, const char *key, text *out) {
    yyjson_val *value = yyjson_obj_get(object, key);
    if (!yyjson_is_str(value)) return 0;
    out->ptr = yyjson_get_str(value);
    out->len = yyjson_get_len(value);
    return 1;
}

/* 1 if it is a message. The texts are in the pool. */
int extract(const char *input, size_t length, void *pool, size_t pool_size, text *out) {
    yyjson_alc allocator;
    yyjson_alc_pool_init(&allocator, pool, pool_size);
    yyjson_doc *doc = yyjson_read_opts((char *)(size_t)input, length, 0, &allocator, NULL);
    if (doc == NULL) return 0;
    yyjson_val *root = yyjson_doc_get_root(doc), *from = yyjson_obj_get(root, "from");
    return get(from, "name", &out[0]) && get(from, "ip", &out[1]) && get(root, "to", &out[2]) &&
           get(root, "msg", &out[3]);
}
