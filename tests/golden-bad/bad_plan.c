/* Damaged plan files, each with the status and the words of its refusal. */
#include "quant/plan.h"
#include "test.h"
#include "unit/mock_model.h"

#include "base/mem.h"

#define HEAD          "{\n\"format\": \"edgellm plan\",\n\"version\": 1,\n"
#define A             "{\"name\": \"a.weight\", \"type\": \"Q4_K\"}"
#define B             "{\"name\": \"b.weight\", \"type\": \"F32\", \"method\": \"copy\"}"
#define C             ",\n{\"name\": \"c.weight\", \"type\": \"F16\"}"
#define PLAN(tensors) HEAD "\"tensors\": [\n" tensors "\n]}"

static struct el_source *model(void)
{
    struct el_source *const s = mock_source("llama", 1, 4, 4, 0);
    mock_add(s, "a.weight", 4, 256, NULL);
    mock_add(s, "b.weight", 0, 256, NULL);
    mock_add(s, "c.weight", 4, 288, NULL);
    return s;
}

TEST(bad_plan, damaged_files_are_refused)
{
    static const struct {
        const char *text;
        enum el_status code;
        const char *says;
    } cases[] = {
        {PLAN(A ",\n" B C), EL_OK, ""},
        {PLAN("{\"comment\": \"why\", \"name\": \"a.weight\", \"type\": \"q8_0\", \"nbytes\": 7, \"loss\": null},\n" B C), EL_OK,
         ""},
        {PLAN("{\"name\": \"a\\u002eweight\", \"type\": \"Q4_K\", \"comment\": \"}],[{\\\"\"},\n" B C), EL_OK, ""},
        {HEAD "\"options\": {\"rounds\": 7, \"no_cross\": false},\n\"tensors\": [" A "," B C "]}", EL_OK, ""},
        {"", EL_E_FORMAT, "not valid JSON"},
        {"[]", EL_E_FORMAT, "x.json"},
        {"{}", EL_E_FORMAT, "no plan: 'format' is missing"},
        {"{\"format\": \"edgellm plan\"}", EL_E_FORMAT, "'version' is missing"},
        {HEAD "\"comment\": 1}", EL_E_FORMAT, "'tensors' is missing"},
        {"{\"format\": \"plan\"}", EL_E_FORMAT, "line 1: 'format' must be \"edgellm plan\""},
        {"{\"format\": \"edgellm plan\",\n\n\"version\": 9}", EL_E_UNSUPPORTED, "line 3: version 9, this program reads 1"},
        {"{\"format\": \"edgellm plan\", \"version\": 1.5}", EL_E_FORMAT, "'version' is a number, must be an integer"},
        {HEAD "\"tensor\": []}", EL_E_FORMAT, "line 4: unknown member 'tensor' of a plan"},
        {HEAD "\"tensors\": {}}", EL_E_FORMAT, "line 4: 'tensors' must be an array"},
        {HEAD "\"tensors\": [], \"tensors\": []}", EL_E_FORMAT, "tensors"},
        {HEAD "\"model_sha256\": \"ab\"}", EL_E_FORMAT, "'model_sha256' is 'ab', must be 64 hexadecimal digits"},
        {HEAD "\"stats_sha256\": 7}", EL_E_FORMAT, "'stats_sha256' is a number, must be a string"},
        {HEAD "\"made_by\": {}}", EL_E_FORMAT, "'made_by' is an object, must be a string"},
        {HEAD "\"file_type\": -1}", EL_E_FORMAT, "'file_type' is -1, must be 0 to"},
        {HEAD "\"keep_metadata\": 1}", EL_E_FORMAT, "'keep_metadata' is a number, must be true or false"},
        {HEAD "\"predicted_kld\": \"low\"}", EL_E_FORMAT, "'predicted_kld' is a string, must be a number"},
        {HEAD "\"options\": []}", EL_E_FORMAT, "'options' is an array, must be an object"},
        {HEAD "\"options\": {\"damping\": -1}}", EL_E_FORMAT, "'damping' is -1, must be from 0"},
        {HEAD "\"options\": {\"order\": \"up\"}}", EL_E_FORMAT, "'order' is 'up', must be group, act or none"},
        {HEAD "\"options\": {\"rounds\": 1e9}}", EL_E_FORMAT, "'rounds' is 1000000000, must be 0 to 1000000"},
        {HEAD "\"options\": {\"no_cross\": 1}}", EL_E_FORMAT, "'no_cross' is a number"},
        {HEAD "\"options\": {\"no_descent\": null}}", EL_E_FORMAT, "'no_descent' is null"},
        {HEAD "\"options\": {\"speed\": 1}}", EL_E_FORMAT, "unknown option 'speed'"},
        {PLAN(A), EL_E_USAGE, "no line for tensor 'b.weight' of"},
        {PLAN(A ",\n" A ",\n" B), EL_E_FORMAT, "line 6: tensor 'a.weight' is named twice, first on line 5"},
        {PLAN(A ",\n" B ",\n{\"name\": \"d.weight\", \"type\": \"F32\"}"), EL_E_USAGE, "line 7: 'mock' has no tensor 'd.weight'"},
        {PLAN("7"), EL_E_FORMAT, "line 5: a tensor is a number, must be an object"},
        {PLAN("{\"type\": \"F32\"}"), EL_E_FORMAT, "line 5: a tensor without 'name'"},
        {PLAN("{\"name\": \"a.weight\"}"), EL_E_FORMAT, "line 5: a tensor without 'type'"},
        {PLAN("{\"name\": null, \"type\": \"F32\"}"), EL_E_FORMAT, "'name' is null, must be a string"},
        {PLAN("{\"name\": \"a.weight\", \"type\": \"F32\", \"tpye\": 1}"), EL_E_FORMAT, "unknown member 'tpye' of a tensor"},
        {PLAN("{\"name\": \"a.weight\", \"type\": \"F32\", \"loss\": \"0\"}"), EL_E_FORMAT, "'loss' is a string"},
        {PLAN("{\"name\": \"a.weight\", \"type\": \"Q4_K_M\"}"), EL_E_FORMAT, "line 5: tensor 'a.weight': "},
        {PLAN("{\"name\": \"a.weight\", \"type\": \"IQ2_XXS\", \"method\": \"hqq\"}"), EL_E_USAGE,
         "line 5: tensor 'a.weight': method 'hqq' does not make 'IQ2_XXS'"},
        {PLAN("{\"name\": \"a.weight\", \"type\": \"Q4_K\", \"method\": \"best\"}"), EL_E_FORMAT, "unknown method 'best'"},
        {PLAN("{\"name\": \"a.weight\", \"type\": \"Q4_K\", \"method\": \"gptq\"}"), EL_E_USAGE,
         "tensor 'a.weight': method 'gptq' needs statistics"},
        {PLAN("{\"name\": \"c.weight\", \"type\": \"Q4_K\"}"), EL_E_USAGE,
         "tensor 'c.weight': rows of 288 are no multiple of 256 for Q4_K"},
        {PLAN("{\"name\": \"b.weight\", \"type\": \"Q8_0\"}"), EL_E_USAGE,
         "tensor 'b.weight': is not quantized: its type must be F32 (as it is), F16, BF16 or F32"},
        {"{\"format\": \"edgellm plan\",\n\"version\": 1,\n\"tensors\": [}", EL_E_FORMAT, "not valid JSON at line 3, byte 53"},
    };
    struct el_source *const s = model();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct el_plan_opts opts = {.type = ""};
        struct el_err err = {.text = ""};
        struct el_plan *plan = NULL;
        const enum el_status status = el_plan_read(s, cases[i].text, strlen(cases[i].text), "'x.json'", &opts, &plan, &err);
        if (status != cases[i].code || (status != EL_OK && (!strstr(err.text, cases[i].says) || !strstr(err.text, "x.json"))))
            test_fail(__FILE__, __LINE__, "%zu: status %d, '%s', wanted %d, '%s'", i, (int)status, err.text, (int)cases[i].code,
                      cases[i].says);
        CHECK((plan == NULL) == (status != EL_OK));
        el_plan_free(plan);
    }
    el_source_close(s);
}
