/*
 * edgellm.h - the public interface of libedgellm.
 *
 * Conventions, valid for every declaration here:
 *   - Functions that can fail return enum el_status and fill *err (which may be NULL). Results come through out-parameters,
 *     which are set to NULL or zero on failure.
 *   - Matrices are row-major with the outermost dimension first: a weight is [n_out, n_in] and y = x W^T, as in PyTorch.
 *   - Strings are UTF-8. Strings returned as const char * are borrowed and live as long as the object they came from.
 *   - An object may be used by one thread at a time unless its comment says otherwise; different objects are independent.
 *   - The library never prints, never exits and never aborts because of data. Warnings go to el_log_set()'s function.
 *   - Nothing here depends on the locale, the time or the number of threads.
 */
#ifndef EDGELLM_H
#define EDGELLM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define EL_API __attribute__((visibility("default")))
#define EL_MUST_CHECK __attribute__((warn_unused_result))
#define EL_PRINTF(fmt_at, args_at) __attribute__((format(printf, fmt_at, args_at)))
#else
#define EL_API
#define EL_MUST_CHECK
#define EL_PRINTF(fmt_at, args_at)
#endif

#define EL_VERSION_MAJOR 0
#define EL_VERSION_MINOR 1
#define EL_VERSION_PATCH 0

/* ---- errors ------------------------------------------------------------------------------------------------------- */

/* The numbers are the exit codes of the command line tool. They are never renumbered. */
enum el_status {
    EL_OK = 0,
    EL_E_FAILED = 1,        /* ran, and the result is a failure (non-finite logits, a check that does not hold) */
    EL_E_USAGE = 2,         /* the caller asked for something impossible */
    EL_E_FORMAT = 3,        /* damaged or inconsistent input */
    EL_E_IO = 4,            /* the operating system refused: open, read, write, disk full */
    EL_E_MEMORY = 5,        /* out of memory */
    EL_E_NETWORK = 6,
    EL_E_CHECKSUM = 7,      /* stored and computed hash differ */
    EL_E_UNSUPPORTED = 8,   /* well-formed, but not something this version can do */
    EL_E_PARTIAL = 9,       /* part of a sweep failed */
    EL_E_INTERRUPTED = 130, /* el_interrupt() was called */
};

/* Why, where a program can say more to its user than the text does: which of its options would help. */
enum el_reason {
    EL_REASON_NONE = 0,
    EL_REASON_EXISTS = 1,     /* something has the output's name, and overwriting was not asked for */
    EL_REASON_NOT_STORED = 2, /* the output's format has no place for this encoding: another type or format is needed */
    EL_REASON_NO_CHAT = 3,    /* the model has no chat template: one can be given, by name or as text */
    EL_REASON_LAID = 4,       /* what el_model_opts.laid has does not fit: without it the model can be opened */
};

struct el_err {
    enum el_status code;
    char text[512]; /* one line, lower case, no full stop; control characters are shown as \xNN; always terminated */
    enum el_reason reason;
};

/* Static text for a status: "ok", "bad input", ... Never NULL. Any thread. */
EL_API const char *el_status_name(enum el_status status);

/* Where warnings go. fn may be NULL (drop them). Set it before other threads use the library; text is one escaped line. */
typedef void el_log_fn(void *user, const char *text);
EL_API void el_log_set(el_log_fn *fn, void *user);

/* Makes running and later library calls return EL_E_INTERRUPTED soon. Async-signal-safe; any thread. */
EL_API void el_interrupt(void);
/* Forgets an interruption that the program has dealt with. Any thread. */
EL_API void el_interrupt_clear(void);

/* Called now and then during long work, from the thread that called the library. */
typedef void el_progress_fn(void *user, const char *what, uint64_t done, uint64_t total);

/* ---- about this build and this machine ---------------------------------------------------------------------------- */

/* "0.1.0" */
EL_API const char *el_version(void);

/*
 * JSON object text: version, commit, compiler, libraries with versions, CPU features, chosen kernel level, and what an
 * OpenBLAS on this machine would do. Borrowed, static.
 */
EL_API const char *el_build_info_json(void);
/* The commit that this library was built from, "unknown" where nobody said; and the CPU's name. Static; any thread. */
EL_API const char *el_build_commit(void);
EL_API const char *el_cpu_brand(void);

/*
 * Caps the CPU level that kernels may use: "ref", "avx2", "avxvnni", "avx512", "avx512vnni", "amx", on arm64 "ref", "neon",
 * "dotprod", "i8mm", or "native" (the default: the last of them that this CPU has). The environment variable EDGELLM_CPU does
 * the same. EL_E_USAGE for a name that this kind of machine does not know; a level that this CPU lacks is EL_E_UNSUPPORTED.
 * Call it before opening models. A bad value of the variable is an error of el_model_open() and el_session_open().
 */
EL_API EL_MUST_CHECK enum el_status el_cpu_cap(const char *level, struct el_err *err);

/* The level in use, and the i-th level this build knows (NULL past the end). Any thread. */
EL_API const char *el_cpu_level(void);
EL_API const char *el_cpu_level_name(size_t i);

/*
 * What this machine can do at best, measured: the limits that a model's speed is held against. The memory is read by loops that
 * do nothing else, one ascending stream per thread; peaks are loops on registers with the instructions of the CPU level in use.
 */
struct el_meter;

enum el_meter_limit {
    EL_READ_2M,   /* bytes per second read from memory that lies on pages of 2 MiB, where the kernel gives them */
    EL_READ_4K,   /* the same on pages of 4 KiB */
    EL_PEAK_INT8, /* operations per second: products of bytes, added up exactly (a multiplication and an addition are two) */
    EL_PEAK_F16,  /* multiply-adds in f16; 0 where the level in use has none */
    EL_PEAK_F32,  /* multiply-adds in f32 */
    EL_METER_LIMITS
};

/*
 * Takes a buffer to read, much larger than the last cache: nbytes, or 0 for a size that fits this machine (256 MiB to 1 GiB, at
 * most an eighth of the memory that is free). It stays until closing. EL_E_MEMORY.
 */
EL_API EL_MUST_CHECK enum el_status el_meter_open(uint64_t nbytes, struct el_meter **meter, struct el_err *err);
EL_API void el_meter_close(struct el_meter *meter);
/*
 * Measures n times with n_threads (0: all cores), each time some 10 ms: rates [n] bytes or operations per second, in the order
 * of measuring. Changing between the sizes of pages costs filling the buffer again. One thread at a time. EL_E_MEMORY,
 * EL_E_INTERRUPTED.
 */
EL_API EL_MUST_CHECK enum el_status el_meter_measure(struct el_meter *meter, enum el_meter_limit limit, unsigned n_threads,
                                                     double *rates, size_t n, struct el_err *err);
/* Threads of the last measurement, which may be fewer than asked for; 0 before it. */
EL_API unsigned el_meter_n_threads(const struct el_meter *meter);
/* Bytes of the buffer, and those of them that lie on 2 MiB pages now (0 before the first reading). */
EL_API uint64_t el_meter_nbytes(const struct el_meter *meter);
EL_API uint64_t el_meter_huge_nbytes(const struct el_meter *meter);

/*
 * Times every variant of every kernel: each function that a CPU level within the one in use brings, for every encoding, against
 * the plain C reference. All threads make the same call at once, each on data of its own.
 */
struct el_kernel_time {
    const char *kernel;  /* "matmul", "decode", "attn", "rmsnorm", ... */
    const char *type;    /* of the weights, or of the cached keys and values: "Q4_K"; "" where there is but one */
    const char *level;   /* that brought this function: "avx2"; "ref" is the reference */
    const char *shape;   /* "1 from memory", "1 from cache", "2", "8", "64": rows of activations */
    uint32_t n_rows;
    bool from_memory;    /* what it reads comes from there, else from the cache */
    double ns;           /* of one call: the median of some passes */
    double nbytes;       /* per second: of weights read, or of vectors read and written; of all threads together */
    double ops;          /* operations per second, 0 where they are not counted */
    enum el_meter_limit kind; /* what kind of operations: EL_PEAK_INT8 or EL_PEAK_F32 */
    double ratio;        /* the reference's time by this one */
};
struct el_kernels_time_opts {
    unsigned n_threads; /* 0: all cores */
    uint64_t nbytes;    /* of the memory that is read, much more than the last cache holds; 0: 128 MiB */
    /* Only what contains one of these texts, in any case: "q4_k", "matmul", "matmul:q4_k" (kernel:type); none: everything. */
    const char *const *only;
    size_t n_only;
};
/* fn is called for every function and shape, in the order of timing; strings live until it returns. */
typedef void el_kernel_time_fn(void *user, const struct el_kernel_time *time);
/* EL_E_USAGE: nothing contains what `only` asks for. EL_E_MEMORY, EL_E_INTERRUPTED. */
EL_API EL_MUST_CHECK enum el_status el_kernels_time(const struct el_kernels_time_opts *opts, el_kernel_time_fn *fn, void *user,
                                                    struct el_err *err);

/*
 * What this build knows: the name of the i-th row of each table, NULL past the end. about may be NULL; else *about is one line
 * about the row. Strings are static. Any thread.
 */
EL_API const char *el_encoding_name_at(size_t i, const char **about);
EL_API const char *el_format_name_at(size_t i, const char **about);
EL_API const char *el_arch_name_at(size_t i, const char **about);
EL_API const char *el_mix_name_at(size_t i, const char **about);
EL_API const char *el_method_name_at(size_t i, const char **about);

/*
 * Fills hex[65] with a lower-case SHA-256 that identifies a model, all of its files included: of a file's bytes; for a folder of
 * the lines "HEX  NAME\n" of its files in byte order of their names; for any part of a split GGUF set of the lines
 * "HEX  00001-of-00003\n" of all parts in order, whatever stands before that in their names. EL_E_IO when one is missing.
 */
EL_API EL_MUST_CHECK enum el_status el_sha256_path(const char *path, char hex[65], struct el_err *err);
EL_API void el_sha256_bytes(const void *data, size_t nbytes, char hex[65]);

/*
 * Reads a whole file ("-" is standard input) into memory, NUL-terminated after nbytes. Free it with el_free().
 * EL_E_IO when it cannot be read; EL_E_FORMAT when it is larger than max_nbytes.
 */
EL_API EL_MUST_CHECK enum el_status el_read_file(const char *path, uint64_t max_nbytes, char **data, size_t *nbytes,
                                                 struct el_err *err);
/*
 * Writes a whole file: it is there completely, on the disk, or as it was before. Without overwrite one that exists is EL_E_IO.
 */
EL_API EL_MUST_CHECK enum el_status el_write_file(const char *path, const void *data, size_t nbytes, bool overwrite,
                                                  struct el_err *err);
/* Frees what the library allocated: free(), by a name that programs with another C library can use. NULL is fine. */
EL_API void el_free(void *p);

/*
 * Reads JSON text that is an array of strings (a corpus, one document each): *texts [*n] and their lengths *nbytes [*n].
 * Everything is one allocation: el_free(*texts) frees it. `what` names the text in errors. EL_E_FORMAT for anything else.
 */
EL_API EL_MUST_CHECK enum el_status el_json_strings(const char *text, size_t text_nbytes, const char *what, char ***texts,
                                                    size_t **nbytes, size_t *n, struct el_err *err);

/* ---- JSON ---------------------------------------------------------------------------------------------------------- */

/*
 * Strict JSON (RFC 8259). Refused besides: invalid UTF-8, BOM, NUL and \u0000, lone surrogates, duplicate keys, trailing bytes,
 * deep nesting, very many values, numbers that are not finite. A value is borrowed from its document.
 */
struct el_json_doc;
struct el_json;

enum el_json_type { EL_JSON_NULL, EL_JSON_BOOL, EL_JSON_NUMBER, EL_JSON_STR, EL_JSON_ARRAY, EL_JSON_OBJECT };

/* `what` names the text in errors: a file or "header of 'x'"; offsets are given in bytes. EL_E_FORMAT. */
EL_API EL_MUST_CHECK enum el_status el_json_parse(const char *text, size_t nbytes, const char *what, struct el_json_doc **doc,
                                                  struct el_err *err);
EL_API void el_json_free(struct el_json_doc *doc);
EL_API const struct el_json *el_json_root(const struct el_json_doc *doc);
/* All of these accept NULL (a missing value) and then give NULL, 0, false. */
EL_API enum el_json_type el_json_type(const struct el_json *v);
EL_API bool el_json_is(const struct el_json *v, enum el_json_type type);
EL_API const char *el_json_key(const struct el_json *member);
EL_API const struct el_json *el_json_first(const struct el_json *container);
EL_API const struct el_json *el_json_next(const struct el_json *v);
EL_API size_t el_json_count(const struct el_json *container);
/* Linear: not for large objects in loops. Keys are compared exactly. */
EL_API const struct el_json *el_json_get(const struct el_json *object, const char *key);
EL_API const char *el_json_str(const struct el_json *v); /* NULL when not a string */
EL_API double el_json_num(const struct el_json *v);
EL_API bool el_json_bool(const struct el_json *v);
/* True when v is an integer with |v| < 2^53, so that no other number in the text could have become the same double. */
EL_API bool el_json_int(const struct el_json *v, int64_t *out);
/* The value as text on one line, members in their order. *text is allocated and terminated; free it with el_free(). */
EL_API EL_MUST_CHECK enum el_status el_json_print(const struct el_json *v, char **text, size_t *nbytes, struct el_err *err);

/* ---- metadata ----------------------------------------------------------------------------------------------------- */

/* GGUF's value types with GGUF's numbers. */
enum el_meta_type {
    EL_META_U8 = 0,
    EL_META_I8 = 1,
    EL_META_U16 = 2,
    EL_META_I16 = 3,
    EL_META_U32 = 4,
    EL_META_I32 = 5,
    EL_META_F32 = 6,
    EL_META_BOOL = 7,
    EL_META_STR = 8,
    EL_META_ARR = 9,
    EL_META_U64 = 10,
    EL_META_I64 = 11,
    EL_META_F64 = 12,
};

/*
 * A set of named values, in file order. Keys are GGUF's names whatever the file was ("llama.block_count"); what a
 * Hugging Face folder says in config.json is translated on reading.
 */
struct el_meta;

EL_API size_t el_meta_count(const struct el_meta *meta);
EL_API const char *el_meta_key(const struct el_meta *meta, size_t i);
EL_API enum el_meta_type el_meta_type(const struct el_meta *meta, size_t i);
/* Element type and count of an array; a scalar counts as one element of its own type. */
EL_API enum el_meta_type el_meta_elem_type(const struct el_meta *meta, size_t i);
EL_API size_t el_meta_n_elems(const struct el_meta *meta, size_t i);
/* Index of a key, or SIZE_MAX. */
EL_API size_t el_meta_find(const struct el_meta *meta, const char *key);
/* Element j of value i. The caller checks the type first; a number is converted (assert on strings), a string borrowed. */
EL_API int64_t el_meta_int(const struct el_meta *meta, size_t i, size_t j);
EL_API double el_meta_float(const struct el_meta *meta, size_t i, size_t j);
EL_API const char *el_meta_str(const struct el_meta *meta, size_t i, size_t j, size_t *nbytes);

/* ---- model files: sources and sinks ------------------------------------------------------------------------------- */

/*
 * A model as stored: metadata and a directory of named tensors. GGUF (also split), safetensors, a Hugging Face folder, a
 * llama2.c checkpoint, a lone tokenizer file (no tensors then). Opening reads only the header.
 */
struct el_source;

struct el_source_opts {
    const char *format;    /* NULL: find out; else a name of el_format_name_at */
    const char *tokenizer; /* NULL: beside the model (llama2.c: tokenizer.bin, tok*.bin) */
    bool strict;           /* trailing bytes and gaps are errors */
};

/*
 * Opens path. EL_E_FORMAT damaged, EL_E_UNSUPPORTED a version, type or family this build does not know, EL_E_IO.
 * opts may be NULL. The error names the file, the field, what was found and what is allowed.
 */
EL_API EL_MUST_CHECK enum el_status el_source_open(const char *path, const struct el_source_opts *opts,
                                                   struct el_source **source, struct el_err *err);
EL_API void el_source_close(struct el_source *source);
EL_API const char *el_source_path(const struct el_source *source);
EL_API const char *el_source_format(const struct el_source *source);
EL_API const struct el_meta *el_source_meta(const struct el_source *source);
/* Sets one value from llama.cpp's notation KEY=TYPE:VALUE (TYPE int, float, bool or str). EL_E_USAGE. */
EL_API EL_MUST_CHECK enum el_status el_source_override(struct el_source *source, const char *key_type_value, struct el_err *err);

/* One tensor as seen from outside. Strings are borrowed from the source or plan. */
struct el_tensor_info {
    const char *name;      /* GGUF's name: "blk.0.attn_q.weight" */
    const char *file_name; /* its name in the file, when that differs; else the same pointer */
    const char *encoding;  /* "Q4_K" */
    uint32_t n_dims;
    uint64_t dims[4];      /* outermost first */
    uint64_t n_elems;
    uint64_t nbytes;       /* all parts */
    uint64_t offset;       /* of the first part in its file, bytes; 0 when it is scattered */
    const char *file;      /* base name of the file that holds the first part */
};
EL_API size_t el_source_n_tensors(const struct el_source *source);
EL_API struct el_tensor_info el_source_tensor(const struct el_source *source, size_t i);
/*
 * Decodes n_rows rows (all outer dimensions flattened, rows of dims[n_dims-1]) to out [n_rows, dims[n_dims-1]] f32, in file row
 * order.
 */
EL_API EL_MUST_CHECK enum el_status el_source_read_rows(struct el_source *source, size_t tensor, uint64_t row0, uint64_t n_rows,
                                                        float *out, struct el_err *err);

/* The same in canonical row order (Hugging Face's), in which tensors of different formats can be compared. */
EL_API EL_MUST_CHECK enum el_status el_source_read_canonical(struct el_source *source, size_t tensor, uint64_t row0,
                                                             uint64_t n_rows, float *out, struct el_err *err);
/* SHA-256 of the bytes of all parts of a tensor as encoded, its rows in canonical order. */
EL_API EL_MUST_CHECK enum el_status el_source_hash_tensor(struct el_source *source, size_t tensor, char hex[65],
                                                          struct el_err *err);

/* A problem found by el_verify: severity 'e' (error) or 'w' (warning), and one line. */
typedef void el_problem_fn(void *user, char severity, const char *text);

/*
 * Reads everything: structure, shapes against the architecture, tokenizer, every block's scales and values (NaN, Inf), stored
 * plan against tensors. Calls fn for each problem; EL_E_FORMAT at the end when there was an error. fn may be NULL.
 */
EL_API EL_MUST_CHECK enum el_status el_verify(struct el_source *source, el_problem_fn *fn, void *user, el_progress_fn *progress,
                                              void *progress_user, struct el_err *err);

/* A model file being written. Nothing appears under the final name before el_sink_commit. */
struct el_sink;

struct el_sink_opts {
    const char *format;          /* "gguf", "hf" (folder) or "safetensors" */
    uint64_t split_max_nbytes;   /* 0: one file; else files of at most so many bytes, but for a tensor
                                  that does not fit beside its shard's header */
    uint32_t split_max_tensors;  /* 0: no limit */
    bool split_as_source;        /* gguf: begin a new shard wherever the packed source begins one */
    bool overwrite;              /* else an existing output is EL_E_IO */
};
EL_API EL_MUST_CHECK enum el_status el_sink_open(const char *path, const struct el_sink_opts *opts, struct el_sink **sink,
                                                 struct el_err *err);
/*
 * The i-th file of weights that el_pack has begun: its path, or of a folder ("hf") its name within; NULL past the end. Borrowed.
 */
EL_API const char *el_sink_file(const struct el_sink *sink, size_t i);
/* Makes the output durable and gives it its name. On error nothing is left behind. */
EL_API EL_MUST_CHECK enum el_status el_sink_commit(struct el_sink *sink, struct el_err *err);
/* Frees; discards what was not committed. */
EL_API void el_sink_close(struct el_sink *sink);

/* Writes one or more f32 or i32 arrays as a .safetensors file. dtype 'f' or 'i'; dims outermost first; data [product of dims]. */
struct el_array {
    const char *name;
    char dtype;
    uint32_t n_dims;
    uint64_t dims[4];
    const void *data;
};
EL_API EL_MUST_CHECK enum el_status el_arrays_write(const char *path, const struct el_array *arrays, size_t n_arrays,
                                                    bool overwrite, struct el_err *err);

/* ---- packing: convert and quantize -------------------------------------------------------------------------------- */

/* Which tensor gets which encoding, and why. */
struct el_plan;

/* What methods may be told. All 0: their own choices. */
struct el_method_opts {
    double damping;    /* gptq, adaround: part of the Hessian's mean diagonal that is added to it; 0: 0.01 */
    const char *order; /* gptq: "group" (blocks and columns by importance; default), "act" (columns), "none" */
    uint32_t rounds;   /* hqq, adaround, gptq's descent: iterations; 0: 20, 500, 3 */
    bool no_descent;   /* gptq: codes and scales stay as they were first rounded */
    bool no_cross;     /* gptq: leaves alone what the statistics know of the quantized model's inputs */
    double alpha;      /* smoothquant: how much of the range of activations the weights take, above 0 to 1; 0: 0.5 */
    bool input_scales; /* awq, smoothquant: an input that nothing before it can be divided by keeps its scales in the file */
    bool keep_tied;    /* folds: EL_E_UNSUPPORTED where the embedding, serving as output, would need a copy that differs */
    bool online_rotation; /* quarot: rotates what the last matrix of an MLP reads as well, which the running model must do */
};

struct el_plan_opts {
    const char *type;              /* encoding ("Q8_0", "G4_32"), mix ("Q4_K_M"), or "COPY" */
    const char *output_type;       /* NULL, or the encoding of output.weight */
    const char *embedding_type;    /* NULL, or the encoding of token_embd.weight */
    const char *const *tensor_types; /* "REGEX=TYPE", the first that matches the name wins; may be NULL when n is 0 */
    size_t n_tensor_types;
    const char *method;            /* NULL: the default; else a name of el_method_name_at */
    const char *const *tensor_methods; /* "REGEX=NAME", likewise: the method of tensors that are quantized */
    size_t n_tensor_methods;
    const char *const *skips; /* "REGEX": tensors that stay as they are, whatever else is said of them */
    size_t n_skips;
    struct el_method_opts how;
    struct el_source *stats;       /* NULL, or statistics of the inputs (el_calibrate); stays open as long as the plan */
    bool pure;                     /* every matrix the same type, no mix rules */
    bool leave_output;             /* do not touch output.weight */
    bool allow_requantize;         /* else a quantized source tensor is EL_E_USAGE */
    bool for_convert;              /* convert's rules: every matrix gets `type`; vectors f32 */
    bool vectors_f32;              /* with COPY: 16-bit vectors and small tables become f32, as GGUF has them */
};

/* Makes a plan from the source's directory; reads no tensor data. EL_E_USAGE names the option. */
EL_API EL_MUST_CHECK enum el_status el_plan_make(const struct el_source *source, const struct el_plan_opts *opts,
                                                 struct el_plan **plan, struct el_err *err);
EL_API void el_plan_free(struct el_plan *plan);
/*
 * Is a file that was written what the plan says: the same tensors in these encodings? EL_E_FORMAT names the first that is not.
 */
EL_API EL_MUST_CHECK enum el_status el_plan_check(const struct el_plan *plan, const struct el_source *written,
                                                  struct el_err *err);

struct el_plan_row {
    struct el_tensor_info from;
    const char *to;       /* encoding it will have */
    const char *method;   /* "copy", "convert", "search", ... */
    uint64_t nbytes;      /* after */
    const char *fallback; /* NULL, or why it is not the encoding or the method that was asked for */
};
EL_API size_t el_plan_n_rows(const struct el_plan *plan);
EL_API struct el_plan_row el_plan_row(const struct el_plan *plan, size_t i);

/*
 * Bytes of all files that el_pack would write to this sink, headers and padding included, exactly. Writes nothing and leaves the
 * sink as it was. EL_E_UNSUPPORTED: the format cannot tell beforehand ("gguf" can).
 */
EL_API EL_MUST_CHECK enum el_status el_pack_nbytes(struct el_source *source, const struct el_plan *plan, struct el_sink *sink,
                                                   uint64_t *nbytes, struct el_err *err);

/*
 * A plan as a file: JSON, one line per tensor, made to be read, compared and changed by hand (edgellm-formats(5)). What it was
 * made of: el_sha256_path of the files, "" where it is not known; nbytes as of el_pack_nbytes, 0: not known.
 */
struct el_plan_origin {
    const char *model_sha256, *stats_sha256;
    uint64_t nbytes;
};
/* *text is allocated and terminated; free it with el_free(). */
EL_API EL_MUST_CHECK enum el_status el_plan_print(const struct el_plan *plan, const struct el_plan_origin *origin, char **text,
                                                  size_t *nbytes, struct el_err *err);
/*
 * Reads a plan for a source. `what` names the text in errors. Of opts stats and allow_requantize count, all else is in the text.
 * Every tensor of the source must be named once; of a line its type counts, and its method where there is something to choose.
 * EL_E_FORMAT: no plan, or a value that cannot be; EL_E_USAGE: it does not fit this source. Both name the line, and the tensor.
 */
EL_API EL_MUST_CHECK enum el_status el_plan_read(const struct el_source *source, const char *text, size_t nbytes,
                                                 const char *what, const struct el_plan_opts *opts, struct el_plan **plan,
                                                 struct el_err *err);
/* What the text says it was made of; of another plan everything is unknown. Borrowed. */
EL_API struct el_plan_origin el_plan_origin_of(const struct el_plan *plan);

/* What was done to one tensor; called once per tensor, in plan order. */
struct el_pack_report {
    size_t row;          /* of the plan */
    double sum_w2;       /* sum of w^2 over the tensor, float64 */
    double sum_err2;     /* sum of (w - w')^2 */
    double sum_out2;     /* mean over tokens of |(W - W') x|^2; NaN: the method does not know it */
    double sum_y2;       /* mean over tokens of |W x|^2, of the rows that sum_out2 is of; NaN: likewise */
    double damping;      /* the most that was added to a Hessian, as part of its mean diagonal; 0: none */
    uint64_t n_nonfinite;
    const char *fallback; /* NULL, or what the plan could not know: parts that a weaker method made, and why. During the call */
    bool resumed;         /* by the run that this one goes on from */
};
typedef void el_pack_report_fn(void *user, const struct el_pack_report *report);

struct el_pack_opts {
    unsigned n_threads; /* 0: all cores */
    uint64_t max_nbytes; /* of memory, to which the number of threads is cut; 0: no limit. EL_E_USAGE: one is too many */
    bool nan_to_zero;   /* else a NaN or Inf weight is EL_E_FORMAT naming tensor and index */
    /*
     * NULL, or a file in which to keep what is done: a later call with it goes on from there, to the same bytes. As large as the
     * output; the caller removes it after the commit. EL_E_USAGE: it is of another packing, and the message says of what.
     */
    const char *state_path;
    el_progress_fn *progress;
    void *progress_user;
    el_pack_report_fn *report;
    void *report_user;
};

/*
 * Carries a plan out: reads source in row strips, writes to sink; peak memory does not grow with the model. Does not commit.
 * The bytes do not depend on n_threads, CPU level or compiler.
 */
EL_API EL_MUST_CHECK enum el_status el_pack(struct el_source *source, const struct el_plan *plan, struct el_sink *sink,
                                            const struct el_pack_opts *opts, struct el_err *err);

/* ---- tokenizers --------------------------------------------------------------------------------------------------- */

/* Immutable after opening: any number of threads may use one. */
struct el_tokenizer;

EL_API EL_MUST_CHECK enum el_status el_tokenizer_open(struct el_source *source, struct el_tokenizer **tok, struct el_err *err);
EL_API void el_tokenizer_close(struct el_tokenizer *tok);

enum el_tok_flags {
    EL_TOK_ADD_SPECIAL = 1u << 0,   /* BOS/EOS as the model's post-processor says */
    EL_TOK_PARSE_SPECIAL = 1u << 1, /* the text of a control token becomes that token */
};

/*
 * Encodes text (nbytes bytes; invalid UTF-8 becomes U+FFFD, NULs are data). *ids is allocated; free it with el_free().
 * Linear time in nbytes. EL_E_FORMAT when a pattern exceeds its match limit.
 */
EL_API EL_MUST_CHECK enum el_status el_encode(const struct el_tokenizer *tok, const char *text, size_t nbytes, unsigned flags,
                                              int32_t **ids, size_t *n_ids, struct el_err *err);

/* Decodes ids; control tokens are left out unless special. *text is allocated and terminated. EL_E_USAGE: id out of range. */
EL_API EL_MUST_CHECK enum el_status el_decode(const struct el_tokenizer *tok, const int32_t *ids, size_t n_ids, bool special,
                                              char **text, size_t *nbytes, struct el_err *err);

/* Streaming decoder: keeps bytes back until they are whole UTF-8 characters. */
struct el_detok;
EL_API EL_MUST_CHECK enum el_status el_detok_open(const struct el_tokenizer *tok, struct el_detok **d, struct el_err *err);
/* Text that became complete with this id; borrowed until the next call. */
EL_API EL_MUST_CHECK enum el_status el_detok_push(struct el_detok *d, int32_t id, const char **text, size_t *nbytes,
                                                  struct el_err *err);
/* What is left at the end (an incomplete character as U+FFFD). */
EL_API const char *el_detok_flush(struct el_detok *d, size_t *nbytes);
EL_API void el_detok_close(struct el_detok *d);

EL_API size_t el_tok_n_vocab(const struct el_tokenizer *tok);
/* Raw piece as stored (byte-level alphabet, U+2581 ...); NULL when out of range. */
EL_API const char *el_tok_piece(const struct el_tokenizer *tok, int32_t id, size_t *nbytes);
/* Bytes of text that the token stands for (SentencePiece's space is one byte); 0 for control tokens and out of range. */
EL_API size_t el_tok_text_nbytes(const struct el_tokenizer *tok, int32_t id);
/* Ids, or -1 when the model has none. */
EL_API int32_t el_tok_bos(const struct el_tokenizer *tok);
EL_API int32_t el_tok_eos(const struct el_tokenizer *tok);
/* Ends generation: EOS, end-of-turn and the like. */
EL_API bool el_tok_is_eog(const struct el_tokenizer *tok, int32_t id);
EL_API bool el_tok_is_control(const struct el_tokenizer *tok, int32_t id);
/* Does the model put BOS in front by itself? */
EL_API bool el_tok_adds_bos(const struct el_tokenizer *tok);

/* ---- chat templates ----------------------------------------------------------------------------------------------- */

/*
 * How a model wants a conversation written: a Jinja template, its own or one by name, rendered as Hugging Face's
 * apply_chat_template renders it, by a bounded interpreter (a hostile template ends with an error within a second). Immutable:
 * any number of threads may render with one.
 */
struct el_chat;

struct el_chat_opts {
    const char *name; /* a name of el_chat_name_at; or */
    const char *text; /* a template, text_nbytes bytes; both NULL: tokenizer.chat_template of the source */
    size_t text_nbytes;
};
/*
 * source gives the template and the texts of BOS, EOS and other special tokens; it is not needed after the call. It may be NULL
 * with a name or text. opts may be NULL. EL_E_USAGE: no such name; EL_E_UNSUPPORTED: the model has no template (with
 * EL_REASON_NO_CHAT), or a statement that is not supported; EL_E_FORMAT: a template that is not valid.
 */
EL_API EL_MUST_CHECK enum el_status el_chat_open(const struct el_source *source, const struct el_chat_opts *opts,
                                                 struct el_chat **chat, struct el_err *err);
EL_API void el_chat_close(struct el_chat *chat);
/* The name of the i-th template that this build knows, NULL past the end; *about (may be NULL): the models it is for. Static. */
EL_API const char *el_chat_name_at(size_t i, const char **about);

struct el_chat_message {
    const char *role;    /* "system", "user", "assistant" ... */
    const char *content; /* UTF-8; invalid bytes become U+FFFD */
};
/* All strings are UTF-8 and terminated. */
struct el_chat_in {
    const struct el_chat_message *messages; /* [n_messages]; or */
    size_t n_messages;
    const char *messages_json;  /* a JSON array of messages, with what else a message may have (tool_calls, content in parts) */
    const char *tools_json;     /* NULL, or a JSON array of tools as in "tools" of the OpenAI API */
    const char *documents_json; /* NULL, or a JSON array of documents */
    const char *kwargs_json;    /* NULL, or a JSON object of more variables, which win over all others: {"mood": "calm"} */
    const char *bos, *eos;      /* NULL: those of the source; where there was none, the template finds them undefined */
    bool add_generation_prompt; /* ends where the assistant's text begins */
    bool has_now;               /* else a template that asks for the date finds no strftime_now */
    int64_t now_s;              /* seconds since 1970 on the clock of the place (UTC plus its offset) */
};
/*
 * Renders. *text is allocated (el_free) and terminated. It is the whole prompt: encode it with EL_TOK_PARSE_SPECIAL, and with
 * EL_TOK_ADD_SPECIAL only where it does not begin with the text of BOS already. EL_E_USAGE: the template refuses the conversation
 * (raise_exception), its words are the error; EL_E_FORMAT: JSON that is none, an error in the template, or a limit of the
 * interpreter.
 */
EL_API EL_MUST_CHECK enum el_status el_chat_render(const struct el_chat *chat, const struct el_chat_in *in, char **text,
                                                   size_t *nbytes, struct el_err *err);

/* ---- running ------------------------------------------------------------------------------------------------------ */

/* Weights bound to an architecture. Immutable: sessions in several threads may share one. */
struct el_model;

struct el_model_opts {
    bool no_mmap; /* read weights into anonymous memory; those of .laid stay mapped */
    /*
     * NULL, or a comma-separated list of features to leave out, for ablation tests: rope_scaling, bias, norm_bias, norm_gain,
     * window, positions, output, experts, and those of single families. EL_E_USAGE for any other names them all.
     */
    const char *disable;
    /*
     * What quantized weights are multiplied with: "int8" (blocks of 32 rounded to 8 bits, fast), "f32" (the activations as they
     * are), or NULL: as the metadata edgellm.activations says, which a GPTQ or AWQ folder sets to f32, else int8.
     */
    const char *activations;
    unsigned n_threads; /* that read the weights, and hash them for el_model_write_laid; 0: all cores */
    /*
     * NULL, or a file that el_model_write_laid has made of this source: its matrices are used where they are mapped, none is read
     * from source. It must stay open as long as the model. A file of another model, state of the model's files or layout, or one
     * that lacks a matrix is an error with EL_REASON_LAID. Its bytes are taken on trust: el_verify checks them.
     */
    struct el_source *laid;
};
/* Binds the tensors of source, which must stay open as long as the model. Names all that miss or do not fit. opts may be NULL. */
EL_API EL_MUST_CHECK enum el_status el_model_open(struct el_source *source, const struct el_model_opts *opts,
                                                  struct el_model **model, struct el_err *err);
EL_API void el_model_close(struct el_model *model);
/*
 * Writes the matrices that opening has re-laid, as they lie in memory, for el_model_opts.laid. Such a file holds the times of
 * last modification of the model's files, so it is the one output that differs where they do. Does not commit. EL_E_UNSUPPORTED:
 * no matrix of this model is re-laid at this CPU level.
 */
EL_API EL_MUST_CHECK enum el_status el_model_write_laid(const struct el_model *model, struct el_sink *sink, struct el_err *err);
/*
 * Is path a file that el_model_write_laid has begun, whole or not? By its first bytes: a program that is to replace such files
 * asks before it takes away somebody's model.
 */
EL_API bool el_is_laid_file(const char *path);

struct el_model_info {
    const char *arch;        /* "llama" */
    uint64_t n_params;
    uint64_t nbytes;         /* of all tensors */
    uint32_t n_vocab, n_embd, n_layers, n_heads, n_kv_heads, d_head, n_ff, n_experts, n_experts_used;
    uint32_t n_ctx_train;
};
EL_API struct el_model_info el_model_info(const struct el_model *model);

/*
 * What a pass of n_rows rows (in one batch) has to do at least, of which n_logits ask for logits; counted over the tensors as the
 * file stores them, by their roles. Read once: every matrix and vector; of an embedding that is not the output matrix too, and of
 * learned positions, n_rows rows; the output matrix when there are logits; of a mixture's experts those that n_rows rows meet
 * when each picks its experts evenly: n_experts (1 - (1 - n_experts_used / n_experts)^n_rows). Operations: two per row and
 * parameter of a matrix that the row is multiplied with. Attention over the KV cache is in neither. What el_model_opts.disable
 * leaves out is counted all the same.
 */
struct el_cost {
    double nbytes;   /* of weights that are read */
    double int8_ops; /* of quantized weights that int8 activations may be used with */
    double f32_ops;  /* of the others */
};
EL_API struct el_cost el_model_cost(const struct el_model *model, uint64_t n_rows, uint64_t n_logits);
/*
 * Positions of the KV cache that n_rows rows of one sequence, at positions pos, pos + 1, ..., see together (themselves included):
 * the mean over the layers, fewer than all where layers have a window. Times the bytes of a position, this is what they read.
 */
EL_API double el_model_kv_read(const struct el_model *model, uint64_t pos, uint64_t n_rows);

/* Running sequences: KV cache and scratch. All memory is taken on opening; decoding allocates nothing. */
struct el_session;

struct el_session_opts {
    uint32_t n_ctx;      /* positions per sequence; 0: the model's */
    uint32_t n_seqs;     /* sequences; 0: 1 */
    uint32_t n_batch;    /* rows per el_session_decode; 0: 512 */
    const char *kv_type_k, *kv_type_v; /* "f32", "f16", "q8_0" (heads of a multiple of 32); NULL: "f16" */
    unsigned n_threads;  /* 0: all cores */
    /*
     * 0, or activations are rounded to so many bits, 2 to 8, before every product with a matrix, be its weights floats or not;
     * only routers of floats read them as they are. scale = max |x| / (2^(act_bits - 1) - 1) over 32 columns (by token: over all
     * of a row), x becomes scale * round(x / scale). With 8 bits of 32 columns, quantized weights are multiplied as without it:
     * that is what their kernels do. For studies (W4A4); such a session is neither saved nor loaded.
     */
    uint32_t act_bits;
    bool act_by_token;
};
EL_API EL_MUST_CHECK enum el_status el_session_open(const struct el_model *model, const struct el_session_opts *opts,
                                                    struct el_session **session, struct el_err *err);
EL_API void el_session_close(struct el_session *session);

/* One row of a batch. Rows of one sequence must come with ascending positions, each following what the sequence holds. */
struct el_row {
    int32_t token;
    uint32_t seq;
    uint32_t pos;
    bool want_logits;
};

/*
 * Runs n_rows <= n_batch rows through the model and appends to the KV cache. EL_E_USAGE: token, sequence or position out of
 * range (context full). EL_E_FAILED: non-finite logits; the error names the first layer that made them.
 */
EL_API EL_MUST_CHECK enum el_status el_session_decode(struct el_session *session, const struct el_row *rows, size_t n_rows,
                                                      struct el_err *err);
/* Logits [n_vocab] f32 of row i of the last decode, which must have asked for them. Borrowed until the next decode. */
EL_API const float *el_session_logits(const struct el_session *session, size_t i);
/* Forgets everything at positions >= n_past of one sequence. */
EL_API void el_session_rewind(struct el_session *session, uint32_t seq, uint32_t n_past);
EL_API uint32_t el_session_n_past(const struct el_session *session, uint32_t seq);
EL_API uint32_t el_session_n_ctx(const struct el_session *session);
EL_API uint32_t el_session_n_batch(const struct el_session *session);
EL_API unsigned el_session_n_threads(const struct el_session *session);
/* Bytes of KV cache and of scratch. */
EL_API uint64_t el_session_kv_nbytes(const struct el_session *session);
EL_API uint64_t el_session_scratch_nbytes(const struct el_session *session);

/*
 * Saves what the sequence holds for ids, its first n_ids tokens: keys, values, their types and shape, the ids, the CPU level, and
 * model_hash, 64 hex digits that name the model and all that changes its numbers. The file has its name only when it is whole; an
 * older one is replaced.
 */
EL_API EL_MUST_CHECK enum el_status el_session_save(struct el_session *session, uint32_t seq, const int32_t *ids, size_t n_ids,
                                                    const char *model_hash, const char *path, struct el_err *err);
/*
 * Loads as much of a saved sequence as begins like ids: *n_loaded positions, which the sequence holds then instead of its own.
 * EL_E_FORMAT damaged, EL_E_CHECKSUM, EL_E_UNSUPPORTED when it was saved by another version, with another model or CPU level, or
 * with other types of keys and values.
 */
EL_API EL_MUST_CHECK enum el_status el_session_load(struct el_session *session, uint32_t seq, const char *path,
                                                    const char *model_hash, const int32_t *ids, size_t n_ids, size_t *n_loaded,
                                                    struct el_err *err);

/* log(softmax(logits))[id], and the whole vector to out [n] f64 (may be NULL). Sums in float64, fixed order. Any thread. */
EL_API double el_log_softmax(const float *logits, size_t n, int32_t id, double *out);

/* ---- grammars ----------------------------------------------------------------------------------------------------- */

/*
 * What a text may be, in GBNF, the notation of llama.cpp: rules of texts, character classes, alternatives and repetitions, read
 * from the rule 'root'. Immutable once made: any number of threads may use one.
 */
struct el_grammar;

/*
 * Reads a grammar. `what` names the text in errors (NULL: "grammar"). tok may be NULL: then the grammar can only judge texts, and
 * references to tokens (<[id]>, <token>) are refused; it is not needed afterwards. EL_E_FORMAT names line, column, what was found
 * and what is allowed; it also refuses left recursion and rules that never end. EL_E_UNSUPPORTED: too large.
 */
EL_API EL_MUST_CHECK enum el_status el_grammar_parse(const char *text, size_t nbytes, const char *what,
                                                     const struct el_tokenizer *tok, struct el_grammar **grammar,
                                                     struct el_err *err);
/*
 * The GBNF of the JSON texts that a JSON Schema allows: members in the order of the schema, none but those that it names unless
 * it says additionalProperties. EL_E_FORMAT: no valid schema; EL_E_UNSUPPORTED: a keyword that restricts and has no translation,
 * named with its place. *gbnf is allocated and terminated; free it with el_free(). `what` as above (NULL: "JSON schema").
 */
EL_API EL_MUST_CHECK enum el_status el_json_schema_to_gbnf(const char *schema, size_t nbytes, const char *what, char **gbnf,
                                                           size_t *n_gbnf, struct el_err *err);
/* Both in one. */
EL_API EL_MUST_CHECK enum el_status el_grammar_from_json_schema(const char *schema, size_t nbytes, const char *what,
                                                                const struct el_tokenizer *tok, struct el_grammar **grammar,
                                                                struct el_err *err);
EL_API void el_grammar_close(struct el_grammar *grammar);
/*
 * Is the whole text in the grammar? *n_prefix (may be NULL) is how many of its bytes begin some text that is. EL_E_UNSUPPORTED:
 * rules nested too deep, or a grammar so ambiguous that its limits do not suffice.
 */
EL_API EL_MUST_CHECK enum el_status el_grammar_accepts(const struct el_grammar *grammar, const char *text, size_t nbytes,
                                                       bool *accepts, size_t *n_prefix, struct el_err *err);

/* One text being written under a grammar, token by token. Borrows the grammar, which needs to have had a tokenizer. */
struct el_grammar_run;
/* text_start: the tokens stand at the very start of a text, where decoding takes spaces off (SentencePiece's first). */
EL_API EL_MUST_CHECK enum el_status el_grammar_run_open(const struct el_grammar *grammar, bool text_start,
                                                        struct el_grammar_run **run, struct el_err *err);
EL_API void el_grammar_run_close(struct el_grammar_run *run);
/*
 * Which tokens may come next: bit id % 64 of word id / 64. Tokens that end a text are among them only where the grammar may end,
 * control tokens only where the grammar names them. Borrowed until the next call. NULL: failed, now or before; *err says why.
 */
EL_API EL_MUST_CHECK const uint64_t *el_grammar_run_mask(struct el_grammar_run *run, struct el_err *err);
/* Goes on behind a token. EL_E_USAGE when it is not one of those, and from then on every call fails. */
EL_API enum el_status el_grammar_run_accept(struct el_grammar_run *run, int32_t id, struct el_err *err);
/* May the text end here? */
EL_API bool el_grammar_run_can_end(const struct el_grammar_run *run);
/* Why no token may come next though the text may not end; EL_OK when one may, or when it may end. */
EL_API EL_MUST_CHECK enum el_status el_grammar_run_check(struct el_grammar_run *run, struct el_err *err);
EL_API size_t el_grammar_run_n_vocab(const struct el_grammar_run *run);

/* ---- sampling ----------------------------------------------------------------------------------------------------- */

/* Added to the logit of a token before everything else; -INFINITY forbids it. */
struct el_logit_bias {
    int32_t id;
    float bias;
};

/* Zero switches every member off (top_p and repeat_penalty: 1). Copied on opening, but for the tokenizer. */
struct el_sampler_opts {
    float temp;              /* 0: greedy (lowest id wins a tie) */
    uint32_t top_k;          /* 0: off */
    float top_p, min_p;      /* 1, 0: off */
    float repeat_penalty;    /* 1: off; divides positive logits, multiplies negative ones (CTRL, arXiv:1909.05858, sec. 4.1) */
    float presence_penalty, frequency_penalty; /* 0: off */
    uint32_t penalty_last_n; /* how many of the last tokens count */
    uint64_t seed;

    const char *order;           /* steps of the chain: "top_k;temperature", letters "kt", "" none; NULL: the default order */
    float typical_p;             /* locally typical sampling (arXiv:2202.00666); 0, 1: off */
    float top_n_sigma;           /* keep logits >= max - n sigma (arXiv:2411.07641); <= 0: off */
    float xtc_probability;       /* how often the likeliest tokens of >= xtc_threshold are dropped, but for the last of them */
    float xtc_threshold;         /* above 0.5: off */
    float dynatemp_range;        /* temperature temp +- range by entropy; 0: off */
    float dynatemp_exponent;     /* of the normalized entropy */
    float dry_multiplier;        /* penalty of tokens that go on repeating n tokens: multiplier * base^(n - allowed); 0: off */
    float dry_base;              /* at least 1 */
    uint32_t dry_allowed_length; /* repetitions shorter than this cost nothing */
    uint32_t dry_penalty_last_n; /* how many of the last tokens are searched; 0: off */
    const char *const *dry_breakers; /* texts over which no repetition reaches; NULL: "\n", ":", "\"", "*" */
    size_t n_dry_breakers;
    const struct el_tokenizer *tokenizer; /* needed by DRY, on opening */
    unsigned mirostat;                    /* 0 off; 1, 2: arXiv:2007.14966 takes the place of the chain, after the temperature */
    float mirostat_tau;                   /* surprise aimed at, in bits */
    float mirostat_eta;                   /* learning rate */
    const struct el_logit_bias *logit_bias; /* [n_logit_bias] */
    size_t n_logit_bias;
};
/* llama.cpp's defaults: temp 0.8, top_k 40, top_p 0.95, min_p 0.05, no penalties over the last 64, everything else off. */
EL_API struct el_sampler_opts el_sampler_defaults(void);

/* The name of the i-th step of the default order, NULL past the end; *letter (may be NULL) is its letter. Static. Any thread. */
EL_API const char *el_sampler_step_at(size_t i, char *letter);

/*
 * Same seed, options, logits: same tokens. Default order: penalties, DRY, top-n-sigma, top-k, typical, top-p, min-p, XTC,
 * temperature, as llama.cpp.
 */
struct el_sampler;
EL_API EL_MUST_CHECK enum el_status el_sampler_open(const struct el_sampler_opts *opts, size_t n_vocab,
                                                    struct el_sampler **sampler, struct el_err *err);
EL_API void el_sampler_close(struct el_sampler *sampler);
/* Tells the penalties about a token (of the prompt or chosen). */
EL_API void el_sampler_accept(struct el_sampler *sampler, int32_t id);
/*
 * From now on only tokens that the run allows are chosen, and accepted tokens are told to the run: set it after the prompt was
 * accepted. Borrowed; NULL takes it away.
 */
EL_API void el_sampler_set_grammar(struct el_sampler *sampler, struct el_grammar_run *run);
/* Chooses; does not accept. logits [n_vocab] are not changed. -1: a grammar allows no token (see el_grammar_run_check). */
EL_API int32_t el_sampler_pick(struct el_sampler *sampler, const float *logits);

#ifdef __cplusplus
}
#endif

#include "edgellm_plan.h" /* calibration, sensitivity, targets */

#endif
