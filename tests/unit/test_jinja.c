/* The Jinja interpreter: small templates with the text that jinja2 3.1.6 makes of them, errors, hostile templates. */
#include "base/mem.h"
#include "test.h"
#include "text/jinja.h"

#include <time.h>

static const char messages[] =
    "[{\"role\": \"user\", \"content\": \" Hi \"}, {\"role\": \"assistant\", \"content\": null, \"n\": 1.0},"
    " {\"role\": \"user\", \"content\": \"b\\u00e9<\\ud83d\\ude00\"}]";
static const struct el_jinja_var vars[] = {
    {"messages", messages, sizeof messages - 1, true},
    {"s", "Hello World", 11, false},
    {"big", "18446744073709551616", 20, true},
};

static enum el_status render(const char *tmpl, char **text, struct el_err *err)
{
    struct el_jinja *t;
    size_t nbytes;
    *text = NULL;
    enum el_status status = el_jinja_open(tmpl, strlen(tmpl), "t", &t, err);
    if (status != EL_OK)
        return status;
    status = el_jinja_render(t, vars, sizeof vars / sizeof vars[0], NULL, text, &nbytes, err);
    el_jinja_close(t);
    return status;
}

struct pair {
    const char *tmpl, *want;
};

static void check_all(const struct pair *cases, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct el_err err = {0};
        char *text;
        if (render(cases[i].tmpl, &text, &err) != EL_OK)
            test_fail(__FILE__, __LINE__, "'%s': %s", cases[i].tmpl, err.text);
        else if (strcmp(text, cases[i].want) != 0)
            test_fail(__FILE__, __LINE__, "'%s': got '%s', want '%s'", cases[i].tmpl, text, cases[i].want);
        el_free(text);
    }
}
#define CHECK_ALL(cases) check_all(cases, sizeof cases / sizeof cases[0])

TEST(jinja, white_space)
{
    static const struct pair cases[] = {
        {"a\n", "a"},
        {"a\n\n", "a\n"},
        {"a\r\nb\rc", "a\nb\nc"},
        {"  {% if true %}\n  x\n  {% endif %}\ny", "  x\ny"},
        {"a {% if true %} b {% endif %} c", "a  b  c"},
        {"a\n  {%- if true -%}\n  b\n  {%- endif -%}\n c", "abc"},
        {"  {%+ if true +%}\nx{% endif %}", "  \nx"},
        {"a  {{- ' b ' -}}  c", "a b c"},
        {"{{ 1 }}\n{{ 2 }}", "1\n2"},
        {"x\n  {# c #}\ny", "x\ny"},
        {"x {#- c -#} y", "xy"},
        {"{% raw %}\n{{ a }}{% endraw %}\nb", "\n{{ a }}b"},
        {"{{ '}}' }}{{ {'a': {'b': 1}}.a.b }}", "}}1"},
        {"{ % } }} %} #}", "{ % } }} %} #}"},
    };
    CHECK_ALL(cases);
}

TEST(jinja, expressions)
{
    static const struct pair cases[] = {
        {"{{ 7 // 2 }} {{ -7 // 2 }} {{ -7 % 3 }} {{ 7 / 2 }} {{ 2 ** 3 ** 2 }} {{ 2 ** -1 }}", "3 -4 2 3.5 64 0.5"},
        {"{{ (1 + 2 * 3) ~ 4 }} {{ 'a' ~ 1 ~ none ~ true }} {{ -1 | abs }}", "74 a1NoneTrue 1"},
        {"{{ 1 < 2 < 3 }} {{ 1 == 1.0 }} {{ 'a' in 'cat' }} {{ 4 not in [1, 2] }} {{ not true }}", "True True True True False"},
        {"{{ 'x' if s else 'y' }}{{ 'x' if none }}{{ 0 or 'z' }}{{ 1 and 2 }}", "xz2"},
        {"{{ [1, 'a', none, 1.5, (1,), {'k': True}] }}", "[1, 'a', None, 1.5, (1,), {'k': True}]"},
        {"{{ 'it\\'s' }} {{ ['it\\'s', '\\n\\u00e9'] }} {{ 'a' 'b' }}", "it's [\"it's\", '\\n\xc3\xa9'] ab"},
        {"{{ 1e16 }} {{ 1e15 }} {{ 0.1 + 0.2 }} {{ 1e-5 }} {{ 100.0 }} {{ 1_000 }} {{ 0x1f }}",
         "1e+16 1000000000000000.0 0.30000000000000004 1e-05 100.0 1000 31"},
        {"{{ s[0] }}{{ s[-1] }}{{ s[1:3] }}{{ s[::-1] }}|{{ [1, 2, 3][1:] }}{{ [1, 2, 3][-2] }}", "HdeldlroW olleH|[2, 3]2"},
        {"{{ messages[0].role }}{{ messages[0]['content'] }}{{ messages.0.role }}{{ messages[1].n }}", "user Hi user1.0"},
        {"{{ nothing }}{{ messages[9] }}{{ messages[0].nothing }}{{ nothing is defined }}", "False"},
        {"{{ big }} {{ big | tojson }} {{ big is integer }} {{ big > 5 }}",
         "18446744073709551616 18446744073709551616 True True"},
        {"{{ 'abc' * 2 }}{{ [0] * 3 }}{{ [1] + [2] }}{{ (1, 2) + (3,) }}", "abcabc[0, 0, 0][1, 2](1, 2, 3)"},
        {"{{ '%s-%05.1f-%x' % ('a', 2.25, 255) }} {{ '{:>4}|{!r}|{a[0]}'.format(1, 'x', a=[7]) }}", "a-002.2-ff    1|'x'|7"},
    };
    CHECK_ALL(cases);
}

TEST(jinja, statements)
{
    static const struct pair cases[] = {
        {"{% for m in messages %}{{ loop.index }}{{ m.role[0] }}{{ ',' if not loop.last }}{% endfor %}", "1u,2a,3u"},
        {"{% for m in messages if m.content %}{{ loop.length }}{{ loop.revindex }}{% endfor %}", "2221"},
        {"{% for x in [] %}{% else %}none{% endfor %}{% for k, v in {'a': 1}.items() %}{{ k }}{{ v }}{% endfor %}", "nonea1"},
        {"{% for x in range(9) %}{% if x == 1 %}{% continue %}{% endif %}{% if x == 3 %}{% break %}{% endif %}{{ x }}{% endfor "
         "%}",
         "02"},
        {"{% set x = 1 %}{% for i in [1, 2] %}{% set x = x + i %}{{ x }}{% endfor %}{{ x }}", "231"},
        {"{% set ns = namespace(x=1) %}{% for i in [1, 2] %}{% set ns.x = ns.x + i %}{% endfor %}{{ ns.x }}", "4"},
        {"{% if false %}{% set messages = 1 %}{% endif %}{{ messages | length }}", "3"},
        {"{% macro m(a, b='B', c=a) %}{{ a }}{{ b }}{{ c }}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, c=2) }}{{ m(1, 2, 3, "
         "4, z=5) }}",
         "1B2(){}123(4,){'z': 5}"},
        {"{% macro m() %}<{{ caller(2) }}>{% endmacro %}{% call(n) m() %}{{ n }}{% endcall %}", "<2>"},
        {"{% set a, b = 1, 2 %}{{ a }}{{ b }}{% set t %} x {% endset %}[{{ t }}]{% set u | trim | upper %} x {% endset %}{{ u }}",
         "12[ x ]X"},
        {"{% filter upper %}a{% endfilter %}{% with a = 1, b = 2 %}{{ a + b }}{% endwith %}{{ a is defined }}", "A3False"},
        {"{% generation %}g{% set q = 1 %}{% endgeneration %}{{ q is defined }}", "gFalse"},
        {"{% for x in [[1, [2, [3]]]] recursive %}{{ loop.depth }}{% for y in x %}{{ y if y is number }}{% endfor %}{% endfor %}",
         "11"},
        {"{% for n in [{'v': 1, 'c': [{'v': 2, 'c': []}]}] recursive %}{{ n.v }}({{ loop(n.c) }}){% endfor %}", "1(2())"},
        {"{% set g = [1, 2] | map('string') %}{{ g | join }}{{ g | join }}|{{ [3, 1] | sort | first }}", "12|1"},
    };
    CHECK_ALL(cases);
}

TEST(jinja, filters_tests_and_methods)
{
    static const struct pair cases[] = {
        {"{{ {'b': [1, 2.0], 'a': '<\xc3\xa9\"'} | tojson }}", "{\"b\": [1, 2.0], \"a\": \"<\xc3\xa9\\\"\"}"},
        {"{{ {'b': [1, []]} | tojson(indent=2) }}", "{\n  \"b\": [\n    1,\n    []\n  ]\n}"},
        {"{{ messages | selectattr('content') | map(attribute='role') | list }}", "['user', 'user']"},
        {"{{ messages | rejectattr('role', 'eq', 'user') | list | length }}{{ [1, 2, 3] | select('odd') | sum }}", "14"},
        {"{{ messages | groupby('role') | map(attribute='grouper') | join(',') }}", "assistant,user"},
        {"{{ ' a b ' | trim }}{{ 'hello wORLD' | title }}{{ 'x' | default('y') }}{{ nothing | default('y') }}",
         "a bHello Worldxy"},
        {"{{ 'a\nb' | indent(2) }}{{ 'aXb' | replace('X', '-') }}{{ '3.7' | int }}{{ '2' | float }}{{ 2.5 | round }}",
         "a\n  ba-b32.02.0"},
        {"{{ {'b': 1, 'a': 2} | dictsort }}{{ [1, 2, 3] | batch(2) | list }}{{ 'cab' | sort | join }}",
         "[('a', 2), ('b', 1)][[1, 2], [3]]abc"},
        {"{{ s.split() }}{{ 'a,b,c'.split(',', 1) }}{{ ' x '.strip() }}{{ s.startswith(('x', 'He')) }}",
         "['Hello', 'World']['a', 'b,c']xTrue"},
        {"{{ 'a</think>b</think>c'.split('</think>')[-1].lstrip('\\n') }}{{ s.upper() }}{{ s.find('o') }}{{ s.replace('l', '') "
         "}}",
         "cHELLO WORLD4Heo Word"},
        {"{{ s is string }}{{ [] is sequence }}{{ {} is mapping }}{{ s is iterable }}{{ 1 is number }}{{ true is boolean }}",
         "TrueTrueTrueTrueTrueTrue"},
        {"{{ none is none }}{{ 1 is not none }}{{ 3 is divisibleby 3 }}{{ 'a' is in 'abc' }}{{ 2 is eq 2 }}{{ x is undefined }}",
         "TrueTrueTrueTrueTrueTrue"},
        {"{{ '\xce\xa3\xce\x91\xce\xa3' | lower }}{{ 'stra\xc3\x9f' 'e' | upper }}", "\xcf\x83\xce\xb1\xcf\x82STRASSE"},
        {"{{ ('<' | e) + '<' }}{{ '<b>' | safe }}{{ 'a' | safe ~ '<' }}", "&lt;&lt;<b>a<"},
    };
    CHECK_ALL(cases);
}

static void fails(const char *tmpl, const char *want)
{
    struct el_err err = {0};
    char *text;
    const enum el_status status = render(tmpl, &text, &err);
    if (status == EL_OK || text || (want && !strstr(err.text, want)))
        test_fail(__FILE__, __LINE__, "'%.60s': status %d, '%s', want '%s'", tmpl, (int)status, err.text, want ? want : "");
    el_free(text);
}

TEST(jinja, errors_name_the_line_and_the_cause)
{
    fails("\n\n{{ nothing.x }}", "t: line 3: 'nothing' is undefined");
    fails("{{ messages[0].nothing.x }}", "no attribute 'nothing'");
    fails("{{ 1 + 'a' }}", "no + between int and str");
    fails("{{ 1 / 0 }}", "division by zero");
    fails("{% for x in 5 %}{% endfor %}", "a int cannot be walked over");
    fails("{% for a, b in [[1]] %}{% endfor %}", "1 values where 2 are unpacked");
    fails("{% if %}", "'%}' where an expression should be");
    fails("{% for x in y %}", "the end where 'endfor' should be");
    fails("{{ 'a }}", "a string without an end");
    fails("{{ (1, 2] }}", "a closing bracket that opens nowhere");
    fails("{# x", "a comment without an end");
    fails("{{ x | nosuch }}", "no filter 'nosuch'");
    fails("{% nosuch %}", "where a statement should be");
    fails("{% include 'x' %}", "'include' is not supported");
    fails("{{ 9223372036854775807 + 1 }}", "an integer beyond 64 bits");
    fails("{{ x | tojson }}", "tojson: a value of type Undefined has no JSON");
    fails("{{ raise_exception('no such role') }}", "t: line 1: no such role");
    fails("{% macro m(a) %}{% endmacro %}{{ m(1, 2) }}", "takes at most 1");
    fails("{% break %}", "break outside of a loop");
    fails("{{ 'abc'.format_map }}{{ 'abc'.nosuch() }}", "no attribute 'nosuch'");
}

/* Text repeated, for templates that are hostile by size. The caller frees it. */
static char *repeated(const char *head, const char *part, size_t n, const char *tail)
{
    const size_t len = strlen(part);
    char *const s = malloc(strlen(head) + len * n + strlen(tail) + 1);
    char *p = s;
    if (!s)
        abort();
    p += sprintf(p, "%s", head);
    for (size_t i = 0; i < n; i++, p += len)
        memcpy(p, part, len);
    memcpy(p, tail, strlen(tail) + 1);
    return s;
}

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SLOW_BUILD 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SLOW_BUILD 1
#endif
#ifndef SLOW_BUILD
#define SLOW_BUILD 0
#endif

static void ends(const char *tmpl)
{
    /* Emulated CPUs (scripts/test/arm64.sh) are slow as well: what is looked for does not end in minutes. */
    const double begin = now_s(), limit = SLOW_BUILD || getenv("EL_TEST_EMULATED") ? 10.0 : 1.0;
    fails(tmpl, NULL);
    const double took = now_s() - begin;
    if (took > limit)
        test_fail(__FILE__, __LINE__, "'%.60s' took %.2f s", tmpl, took);
}

TEST(jinja, hostile_templates_end)
{
    static const char *const cases[] = {
        /* endless work */
        "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}",
        "{% for a in range(100000) %}{% for b in range(100000) %}x{% endfor %}{% endfor %}",
        "{% set ns = namespace(l=[1]) %}{% for i in range(100) %}{% set ns.l = ns.l + ns.l %}{% endfor %}{{ ns.l }}",
        "{{ range(99999999999) | list }}",
        "{{ range(100000) | map('string') | map('length') | batch(1) | list | string * 1000 }}",
        "{% for x in range(99999) %}{{ messages | tojson(indent=8) }}{% endfor %}",
        "{% for x in range(99999) %}{{ range(1000) | sort(reverse=true) | join }}{% endfor %}",
        /* endless text and memory */
        "{{ 'a' * 99999999999 }}",
        "{{ 'ab' * 8000000 * 8000000 }}",
        "{{ [0] * 999999999 }}",
        "{% set ns = namespace(s='aaaaaaaa') %}{% for i in range(100) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}",
        "{% set ns = namespace(s='aaaaaaaa') %}{% for i in range(100) %}{% set ns.s = ns.s + ns.s + 'b' %}{% endfor %}{{ ns.s }}",
        "{% set ns = namespace(s='ab') %}{% for i in range(40) %}{% set ns.s = ns.s.replace('a', 'aaaa') %}{% endfor %}",
        "{% set ns = namespace(s='ab') %}{% for i in range(99) %}{% set ns.s = ns.s | tojson | tojson %}{% endfor %}",
        "{% set ns = namespace(d={}) %}{% for i in range(99999) %}{% set ns.d = {'a': ns.d, 'b': ns.d} %}{% endfor %}{{ ns.d }}",
        ("{% set ns = namespace(d=[]) %}{% for i in range(64) %}{% set ns.d = [ns.d, ns.d] %}{% endfor %}{{ ns.d == [ns.d] or "
         "ns.d | tojson }}"),
        "{% set s = 'a' * 200000 %}{% for i in range(99999) %}{% set x = s[::-1] %}{% endfor %}",
        "{% set s = '\xc3\xa9' * 100000 %}{% for i in range(99999) %}{% set x = s[::-1] %}{% endfor %}",
        "{% set s = 'x' * 200000 %}{% for i in range(99999) %}{% set x = s | title %}{% endfor %}",
        /* patterns that ask for too much */
        "{{ '%999999999d' % 1 }}",
        "{{ '%.999999999f' % 1 }}",
        "{{ '{:>99999999}'.format(1) * 9 }}",
        "{{ '{0:{1}}'.format(1, 999999999) }}",
        "{{ '%*d' % (2147483647, 1) }}",
        "{{ 'x' | center(2000000000) }}",
        "{{ 'x\n' | indent(2000000000) }}",
        "{{ [1] | batch(2000000000, 0) | list }}",
        "{{ [1] | slice(2000000000) | list }}",
        "{{ 1 | tojson(indent=2000000000) }}{{ [1] | tojson(indent=2000000000) }}",
        "{{ 10 ** 10 ** 10 }}",
        "{{ 'a'.ljust(999999999999) }}",
        /* recursion */
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
        "{% macro a() %}{{ b() }}{% endmacro %}{% macro b() %}{{ a() }}{{ a() }}{% endmacro %}{{ a() }}",
        "{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(40) }}",
        "{% for x in [1] recursive %}{{ loop([x]) }}{% endfor %}",
        "{% set ns = namespace() %}{% set ns.ns = ns %}{{ ns }}",
        "{% set ns = namespace() %}{% set ns.l = [ns] %}{{ ns.l | string }}",
        /* ways out of the sandbox */
        "{{ ''.__class__.__mro__ }}",
        "{{ ''['__class__']['__base__'] }}",
        "{{ messages.append(1) }}",
        "{{ messages[0].update({}) }}",
        "{{ (messages | attr('__class__')).mro() }}",
        "{{ '{0.__class__.__mro__}'.format(1) }}",
        "{{ namespace.__init__.__globals__ }}",
        "{{ raise_exception.__globals__['os'] }}",
        "{{ namespace(__class__=1) }}",
        "{% set ns = namespace() %}{% set ns.__class__ = 1 %}",
        "{{ cycler.__init__('a') }}",
        "{{ self.__dict__.x }}",
        "{% extends '/etc/passwd' %}",
        "{% import 'os' as os %}",
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        ends(cases[i]);
    CHECK(sizeof cases / sizeof cases[0] >= 30);
}

TEST(jinja, hostile_sources_end)
{
    static const struct {
        const char *head, *part;
        size_t n;
        const char *tail;
    } cases[] = {
        {"{{ ", "(", 100000, ""},
        {"{{ ", "[", 90, "1"},
        {"{{ ", "not ", 100000, "1 }}"},
        {"{{ ", "- ", 100000, "1 }}"},
        {"{{ 1", " + 1", 100000, " }}"},
        {"{{ x", "['a']", 100000, " }}"},
        {"{{ 1", " if 1 else 1", 50000, " }}"},
        {"", "{% if 1 %}", 50000, ""},
        {"", "{% for a in b %}", 50000, ""},
        {"{{ 's'", " | upper", 50000, " }}"},
        {"{{ 1", " is number", 50000, " }}"},
        {"{{ m", "()", 50000, " }}"},
        {"{{ ", "{1:", 50000, " }}"},
        {"{% set ", "a,", 200000, "b = 1 %}"},
        {"{{ '", "\\", 99999, "' }}"},
        {"", "{# ", 200000, ""},
        {"", "{% raw %}", 90000, ""},
        {"", "x", EL_JINJA_MAX_SOURCE + 1, ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *const tmpl = repeated(cases[i].head, cases[i].part, cases[i].n, cases[i].tail);
        ends(tmpl);
        free(tmpl);
    }
}

/* Long conversations are no attack: a text that grows by each message costs no more than its length. */
TEST(jinja, long_conversations_are_fine)
{
    struct el_jinja *t;
    struct el_err err = {0};
    char *text = NULL;
    size_t nbytes;
    static const char tmpl[] =
        "{% set ns = namespace(s='') %}{% for m in messages %}{% set ns.s = ns.s + '<' + m.role + '>' + m.content | trim %}"
        "{% endfor %}{{ ns.s }}";
    char *const json =
        repeated("[{\"role\": \"a\", \"content\": \"x\"}",
                 ", {\"role\": \"user\", \"content\": \"The river runs under the old stone bridge.\"}", 20000, "]");
    const struct el_jinja_var var = {"messages", json, strlen(json), true};
    REQUIRE_OK(el_jinja_open(tmpl, sizeof tmpl - 1, "t", &t, &err), err);
    CHECK_OK(el_jinja_render(t, &var, 1, NULL, &text, &nbytes, &err), err);
    CHECK_EQ_INT(nbytes, 4 + 20000 * (6 + 42));
    el_free(text);
    el_jinja_close(t);
    free(json);
}
