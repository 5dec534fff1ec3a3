#!/usr/bin/env python3
"""Writes jinja_cases.json and chat_templates/golden.json: template snippets, and whole chat templates of our own, with
what Jinja2 makes of them when it is configured as Hugging Face does it.

Needs the Python package jinja2 (the file names the version that was used); the tests only read the JSON.
Run: tests/data/make_jinja_cases.py
"""

import datetime
import json
import os
import platform

import jinja2
from jinja2 import nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

NOW = datetime.datetime(2026, 11, 22, 12, 0, 0)  # SOURCE_DATE_EPOCH=1795348800

VARS = {
    "name": "Ada",
    "empty": "",
    "text": "Hello, World",
    "lines": "one\ntwo\n\nthree\n",
    "unicode": "Zürich 日本 🚀 ß",
    "html": "<b>&\"quoted\"'</b>",
    "padded": "  \n padded \t ",
    "zero": 0,
    "seven": 7,
    "neg": -3,
    "pi": 3.14159,
    "half": 0.5,
    "big": 12345678901234567890,
    "yes": True,
    "no": False,
    "nil": None,
    "nums": [3, 1, 2],
    "words": ["b", "A", "c", "a"],
    "nested": [[1, 2], [3, [4, 5]]],
    "none_list": [],
    "user": {"name": "Ada", "age": 36, "tags": ["x", "y"], "items": [1, 2], "address": {"city": "London"}},
    "users": [
        {"name": "Ada", "age": 36, "city": "London", "active": True},
        {"name": "bob", "age": 25, "city": "paris", "active": False},
        {"name": "Cid", "age": 36, "city": "London"},
    ],
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi <there>"},
        {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "f", "arguments": {"a": 1, "b": "x"}}}]},
        {"role": "tool", "content": "42", "name": "f"},
        {"role": "user", "content": [{"type": "text", "text": "part"}, {"type": "image"}]},
    ],
    "schema": {"type": "object", "properties": {"b": {"type": "string"}, "a": {"type": "integer", "enum": [1, 2]}}, "required": ["a"]},
    "tree": [{"v": 1, "kids": [{"v": 2, "kids": []}, {"v": 3, "kids": [{"v": 4, "kids": []}]}]}, {"v": 5, "kids": []}],
}

# One snippet per line under a group name; a leading backslash-free text, newlines written as real ones in TALL.
FLAT = {
    "literals": r"""
{{ 1 }} {{ 0 }} {{ 1_000 }} {{ 0x1F }} {{ 0b101 }} {{ 0o17 }} {{ 00 }}
{{ 1.0 }} {{ 1.5e3 }} {{ 2e-7 }} {{ 1e16 }} {{ 1e15 }} {{ 123456789.123 }} {{ 0.1 + 0.2 }} {{ 1E2 }}
{{ 1e22 }} {{ 1.0e-4 }} {{ 0.00001 }} {{ 5e-324 }} {{ 1.7976931348623157e308 }}
{{ true }} {{ True }} {{ false }} {{ False }} {{ none }} {{ None }}
{{ "double" }} {{ 'single' }} {{ 'a' 'b' "c" }}
{{ "esc: \n\t\\ \' \" \x41 \u00e9 \U0001F680 \101 \q" }}
{{ 'it\'s' }} {{ "a\
b" }}
{{ [] }} {{ [1, 'two', 3.0, none, true] }} {{ [1,] }} {{ [[1], [2, [3]]] }}
{{ () }} {{ (1,) }} {{ (1, 2) }} {{ 1, 2 }} {{ (1) }}
{{ {} }} {{ {'a': 1, "b": [1]} }} {{ {1: 'x', 2.5: 'y', none: 'z', true: 'w'} }} {{ {'a': 1,} }}
{{ {'a': 1, 'a': 2} }} {{ {1: 'a', true: 'b', 1.0: 'c'} }}
{{ big }} {{ big | tojson }} {{ [big] }} {{ 123456789012345678901234567890 }} {{ -123456789012345678901234567890 }}
{{ -9223372036854775808 }} {{ 9223372036854775807 }}
{{ "日本" }} {{ unicode }}
""",
    "printing": r"""
{{ nil }} {{ yes }} {{ no }} {{ zero }} {{ pi }} {{ empty }}|{{ undefined_name }}|
{{ nums }} {{ user }} {{ nested }} {{ none_list }}
{{ ["it's", 'say "hi"', "both ' and \""] }} {{ ["tab\there", "nl\n", "back\\slash", "\x00\x7f", "é", "\u200b", "🚀"] }}
{{ (1, "a", none) }} {{ {'k': (1,)} }} {{ [none, true, 1.0, 1e100] }}
{{ [undefined_name] }} {{ {'a': undefined_name} }}
{{ range(5) }} {{ range(1, 10, 3) }} {{ [range(2)] }}
{{ user.keys() }} {{ user.address.values() }} {{ user.address.items() }}
{{ namespace(a=1, b='x') }}
{{ 1e400 if false else 'x' }} {{ 'nan' | float }} {{ 'inf' | float }} {{ '-inf' | float }} {{ ('nan' | float) == ('nan' | float) }}
{{ -0.0 }} {{ 0.0 * -1 }} {{ 100.0 }} {{ 1/3 }} {{ 2/3*3 }}
{{ 1 }}{{ 'a' }}{{ none }}{{ [] }}
""",
    "arithmetic": r"""
{{ 1 + 2 * 3 - 4 }} {{ (1 + 2) * 3 }} {{ 7 / 2 }} {{ 6 / 2 }} {{ 7 // 2 }} {{ -7 // 2 }} {{ 7 // -2 }} {{ -7 % 3 }} {{ 7 % -3 }}
{{ 7.5 // 2 }} {{ -7.5 // 2 }} {{ 7.5 % 2 }} {{ -7.5 % 2 }} {{ 7.5 % -2 }} {{ 6.0 / 4 }} {{ 1e3 // 7 }}
{{ 2 ** 10 }} {{ 2 ** -1 }} {{ 2 ** 0.5 }} {{ (-2) ** 3 }} {{ -2 ** 2 }} {{ 2 ** 3 ** 2 }} {{ 2.0 ** 3 }} {{ 0 ** 0 }}
{{ true + 1 }} {{ true + true }} {{ -true }} {{ +true }} {{ false * 3 }} {{ true / 2 }}
{{ - 5 }} {{ -neg }} {{ +neg }} {{ --5 }} {{ -seven + 1 }} {{ 3 - -3 }}
{{ 'ab' * 3 }} {{ 3 * 'ab' }} {{ 'ab' * 0 }} {{ 'ab' * -1 }} {{ [1, 2] * 2 }} {{ (1,) * 3 }} {{ 'x' * true }}
{{ 'a' + 'b' }} {{ [1] + [2, 3] }} {{ (1,) + (2,) }} {{ [] + [] }}
{{ 1 ~ 2 }} {{ 'a' ~ 1 ~ none ~ true ~ [1] }} {{ undefined_name ~ 'x' }} {{ 1 + 2 ~ 3 + 4 }} {{ 2 * 3 ~ 4 }}
{{ 10 - 5 - 2 }} {{ 100 / 10 / 2 }} {{ 2 * 3 % 4 }} {{ 1 - 1.0 }} {{ 3 * 1.5 }}
{{ 5 % 3 }} {{ 5.5 % 3 }} {{ 1 + 1.0 }} {{ 1.5 + true }}
{{ 9007199254740993 + 0 }} {{ 4611686018427387904 + 4611686018427387903 }}
{{ 1 / 0 }}
{{ 1 // 0 }}
{{ 1 % 0 }}
{{ 1.0 / 0 }}
{{ 0 ** -1 }}
{{ 'a' + 1 }}
{{ 1 + 'a' }}
{{ [1] + (2,) }}
{{ none + 1 }}
{{ {} + {} }}
{{ 'a' * 'b' }}
{{ 'a' - 'b' }}
{{ 'a' / 2 }}
{{ undefined_name + 1 }}
{{ 1 + undefined_name }}
{{ 'a' + undefined_name }}
{{ undefined_name * 2 }}
{{ -undefined_name }}
{{ -'a' }}
{{ +none }}
""",
    "comparison": r"""
{{ 1 == 1.0 }} {{ 1 == true }} {{ 0 == false }} {{ '1' == 1 }} {{ none == none }} {{ none == false }} {{ 1 != 2 }}
{{ 1 < 2 < 3 }} {{ 1 < 3 < 2 }} {{ 3 > 2 >= 2 }} {{ 1 == 1 == 1 }} {{ 1 < 2 == true }} {{ 2 > 1 != 0 }}
{{ 'a' < 'b' }} {{ 'Z' < 'a' }} {{ 'ab' < 'abc' }} {{ 'é' > 'z' }} {{ '' < 'a' }} {{ 'a' <= 'a' }}
{{ [1, 2] < [1, 3] }} {{ [1] < [1, 0] }} {{ (1, 'a') < (1, 'b') }} {{ [1, 2] == [1, 2] }} {{ [1] == (1,) }} {{ [1, 2] >= [1] }}
{{ {'a': 1, 'b': 2} == {'b': 2, 'a': 1} }} {{ {'a': 1} != {'a': 1.0} }} {{ {} == [] }}
{{ undefined_name == undefined_other }} {{ undefined_name == none }} {{ undefined_name == '' }} {{ undefined_name != 1 }}
{{ 9007199254740993 == 9007199254740992.0 }} {{ 9007199254740993 > 9007199254740992.0 }} {{ 1 < 1.5 }} {{ 1.5 <= 1 }}
{{ range(3) == range(0, 3) }} {{ range(3) == [0, 1, 2] }} {{ true > false }} {{ 2.5 >= 2.5 }}
{{ 1 in [1, 2] }} {{ 3 in [1, 2] }} {{ 3 not in [1, 2] }} {{ 'a' in 'abc' }} {{ '' in 'abc' }} {{ 'x' not in 'abc' }} {{ 1.0 in [1] }}
{{ 'name' in user }} {{ 'zip' in user }} {{ 'x' in user.tags }} {{ 1 in (1, 2) }} {{ none in [none] }} {{ 1 in {1: 2} }} {{ true in [1] }}
{{ 3 in range(5) }} {{ 5 in range(5) }} {{ 4 in range(0, 10, 2) }} {{ 'a' in {'a': 1}.keys() }} {{ 1 in {'a': 1}.values() }}
{{ undefined_name in [1] }} {{ undefined_name in ['a', ''] }} {{ 'a' in undefined_name }} {{ undefined_name in {'a': 1} }}
{{ not 1 in [1] }} {{ (not 1) in [1] }} {{ not not 5 }} {{ not empty }} {{ not undefined_name }}
{{ 'a' in none }}
{{ 'a' in 5 }}
{{ 1 in 'abc' }}
{{ undefined_name in 'abc' }}
{{ [] in {} }}
{{ 1 < 'a' }}
{{ none < 1 }}
{{ [] < {} }}
{{ undefined_name < 1 }}
{{ 1 >= undefined_name }}
{{ {} < {} }}
""",
    "logic": r"""
{{ 1 and 2 }} {{ 0 and 2 }} {{ '' or 'default' }} {{ none or 0 or [] }} {{ 1 or undefined_name.x }} {{ 0 and undefined_name.x }}
{{ true and false or true }} {{ not true or true }} {{ not (true or true) }} {{ 1 and 'x' and [3] }}
{{ 'yes' if yes else 'no' }} {{ 'yes' if no else 'no' }} {{ 'yes' if no }}| {{ 'a' if 0 else 'b' if 0 else 'c' }} {{ ('a' if 1) ~ 'z' }}
{{ 1 if true else 2 if true else 3 }} {{ [1 if true else 2, 3] }} {{ 'x' if undefined_name else 'y' }} {{ ('x' if 0) is defined }}
{{ 1 if 1 and 0 else 2 }} {{ (1, 2) if 1 else 0 }} {{ 'a' ~ ('b' if 1 else 'c') ~ 'd' }} {{ 1 + 2 if 1 else 5 }}
{{ ('a' if 0).x }}
{% if nil is none and not empty %}A{% else %}B{% endif %}{% if nums and nums[0] == 3 %}C{% endif %}
{% if zero %}0{% elif none_list %}1{% elif user.zip %}2{% elif 'x' %}3{% else %}4{% endif %}
{% if 1, %}tuple{% endif %}{% if (0,) %}true{% endif %}{% if [] %}x{% else %}empty{% endif %}{% if {} %}x{% else %}empty{% endif %}
{% if nums | map('string') %}generators are true{% endif %}{% if [] | map('string') %} always{% endif %}
""",
    "lookup": r"""
{{ user.name }} {{ user['name'] }} {{ user.address.city }} {{ user['address']['city'] }} {{ user.zip }}| {{ user['zip'] }}|
{{ user.items is callable }} {{ user['items'] }} {{ user['keys'] is callable }} {{ user.tags[0] }} {{ user.tags.0 }} {{ user.tags[-1] }} {{ user.tags[5] }}|
{{ nums[0] }} {{ nums[-1] }} {{ nums[true] }} {{ nums[3] }}| {{ nums[-4] }}| {{ nums['x'] }}| {{ nums[1.0] }}| {{ nums.0 }} {{ nested[1][1][0] }} {{ nested.1.1.0 }}
{{ text[0] }} {{ text[-1] }} {{ text[100] }}| {{ unicode[1] }} {{ unicode[7] }} {{ unicode[10] }} {{ unicode[-1] }} {{ unicode['upper']() }}
{{ {'a': {'b': 1}}.a.b }} {{ {1: 'one', 2: 'two'}[1] }} {{ {1: 'one'}[1.0] }} {{ {true: 'yes'}[1] }} {{ {(1, 2): 'pair'}[1, 2] }} {{ {none: 'nil'}[none] }}
{{ 'abc'.upper is defined }} {{ none.x is defined }} {{ none.x }}| {{ 5.5.x }}| {{ (5).real }} {{ yes.real }} {{ (2.5).is_integer() }} {{ (7).bit_length() }}
{{ user.name.first }}| {{ user.name.upper() }} {{ user.get('name') }} {{ user.get('zip') }} {{ user.get('zip', 'none') }}
{{ user.__class__ }}| {{ user['__class__'] }}| {{ ''.__class__ is defined }} {{ nums.append is defined }} {{ nums.append }}|
{{ range(10)[2] }} {{ range(10)[-1] }} {{ range(3)[5] }}| {{ range(10)[2:5] }} {{ range(10)[::-1] | list }}
{{ messages[0].role }} {{ messages[2]['tool_calls'][0]['function'].arguments.b }} {{ messages[-1].content[0].text }} {{ messages[1].tool_calls }}|
{{ [1, 2, 3][1] }} {{ 'abc'[1] }} {{ (1, 2)[0] }} {{ {'x': 5}['x'] }} {{ {'x': 5}.x }} {{ [[1]][0][0] }}
{{ user[nums] }}| {{ user[undefined_name] }}| {{ nums[undefined_name] }}| {{ nums[nil] }}|
{{ undefined_name.x }}
{{ undefined_name['x'] }}
{{ user.zip.code }}
{{ user['zip']['code'] }}
{{ nums[10].x }}
{{ none.x.y }}
{{ nil['a'].b }}
{{ messages[9].role }}
{{ undefined_name() }}
{{ user.zip() }}
{{ user.name() }}
{{ nums() }}
{{ none() }}
{{ nums.append(4) }}
{{ nums.pop() }}
{{ user.update({'a': 1}) }}
{{ user.pop('name') }}
{{ user.setdefault('a', 1) }}
{{ ''.__class__() }}
""",
    "slices": r"""
{{ nums[1:] }} {{ nums[:1] }} {{ nums[:] }} {{ nums[::-1] }} {{ nums[::2] }} {{ nums[-2:] }} {{ nums[:-1] }} {{ nums[5:] }} {{ nums[2:1] }}
{{ text[7:] }} {{ text[:5] }} {{ text[::-1] }} {{ text[1:8:3] }} {{ text[-5:-1] }} {{ text[8:2:-2] }} {{ text[100:] }}| {{ text[:-100] }}|
{{ unicode[2:9] }} {{ unicode[::-1] }} {{ unicode[::2] }} {{ unicode[7:9] }} {{ unicode[-3:] }}
{{ (1, 2, 3)[1:] }} {{ [1, 2, 3, 4][1:none] }} {{ [1, 2, 3, 4][none:none:2] }} {{ messages[1:] | length }} {{ messages[:0] }}
{{ nums[zero:seven] }} {{ nums[neg:] }} {{ nums[true:] }} {{ [1, 2, 3, 4, 5][4:0:-2] }} {{ [1, 2, 3][-100:100] }} {{ 'abc'[9999999999:] }}|
{{ nums[::0] }}
{{ nums['a':] }}
{{ nums[1.0:] }}
{{ user[1:] }}
{{ nil[1:] }}
{{ seven[1:] }}
{{ undefined_name[1:] }}
{{ nums[undefined_name:] }}
""",
    "string methods": r"""
{{ 'Hello'.upper() }} {{ 'Hello'.lower() }} {{ 'hello world'.title() }} {{ 'hELLO wORLD'.capitalize() }} {{ 'Hello'.swapcase() }} {{ "they're bill's".title() }}
{{ 'straße ŉ ﬁ'.upper() }} {{ 'ΑΣ ΣΑ'.lower() }} {{ 'İI'.lower() }} {{ 'ß'.title() }} {{ 'ǆ'.title() }} {{ 'Straße'.casefold() }} {{ 'éa'.upper() }}
{{ padded.strip() }}| {{ padded.lstrip() }}| {{ padded.rstrip() }}| {{ 'xxhixx'.strip('x') }} {{ 'abcba'.strip('ab') }} {{ 'xyhi'.lstrip('yx') }} {{ 'hi\n\n'.rstrip('\n') }}| {{ ' a '.strip(none) }}|
{{ '  a  b '.split() }} {{ 'a,b,,c'.split(',') }} {{ 'a,b,c'.split(',', 1) }} {{ 'a b c d'.split(none, 2) }} {{ ''.split() }} {{ ''.split(',') }} {{ 'abc'.split('abc') }}
{{ 'a,b,c'.rsplit(',', 1) }} {{ '  a  b  c '.rsplit(none, 1) }} {{ 'a--b--c'.rsplit('--') }} {{ 'a b'.split(sep=' ', maxsplit=1) }} {{ 'a b c'.split(' ', maxsplit=-1) }} {{ 'aaa'.rsplit('aa') }}
{{ 'x</think>y</think>z'.split('</think>')[-1] }} {{ 'x</think>y'.split('</think>')[0] }} {{ 'no'.split('</think>')[-1].lstrip('\n') }}
{{ lines.splitlines() }} {{ 'a\r\nb\rc\x0bd\u2028e'.splitlines() }} {{ 'a\nb\n'.splitlines(true) }} {{ ''.splitlines() }}
{{ 'hello'.startswith('he') }} {{ 'hello'.startswith('lo') }} {{ 'hello'.endswith('lo') }} {{ 'hello'.startswith(('x', 'h')) }} {{ 'hello'.endswith(('x', 'y')) }} {{ 'hello'.startswith('ell', 1) }} {{ 'hello'.startswith('') }} {{ 'hello'.endswith('ll', 0, 4) }} {{ 'hello'.startswith('', 9) }}
{{ 'banana'.replace('a', 'o') }} {{ 'banana'.replace('a', 'o', 2) }} {{ 'banana'.replace('', '-') }} {{ 'banana'.replace('x', 'y') }} {{ 'aaa'.replace('aa', 'b') }} {{ 'abc'.replace('b', '') }} {{ 'ab'.replace('', '.', 2) }}
{{ 'banana'.find('an') }} {{ 'banana'.rfind('an') }} {{ 'banana'.find('x') }} {{ 'banana'.index('n') }} {{ 'banana'.find('an', 2) }} {{ 'banana'.find('an', 2, 4) }} {{ 'ünïcode'.find('c') }} {{ 'aaaa'.rfind('aa') }} {{ 'abc'.find('') }} {{ 'abc'.rfind('') }} {{ 'abc'.find('', 9) }}
{{ 'banana'.count('a') }} {{ 'banana'.count('an') }} {{ 'aaaa'.count('aa') }} {{ 'abc'.count('') }} {{ 'banana'.count('a', 2) }} {{ 'banana'.count('a', 2, 4) }}
{{ ', '.join(['a', 'b']) }} {{ ''.join(words) }} {{ '-'.join('abc') }} {{ '|'.join([]) }}|
{{ 'abc'.isalpha() }} {{ 'ab1'.isalnum() }} {{ '123'.isdigit() }} {{ '²'.isdigit() }} {{ '²'.isdecimal() }} {{ '½'.isnumeric() }} {{ ''.isdigit() }} {{ ' \t'.isspace() }} {{ 'abc'.islower() }} {{ 'ABC1'.isupper() }} {{ 'Hello World'.istitle() }} {{ 'a_1'.isidentifier() }} {{ '日'.isalpha() }} {{ 'é'.isascii() }} {{ '\n'.isprintable() }} {{ 'aB'.islower() }} {{ '12'.isupper() }}
{{ '42'.zfill(5) }} {{ '-42'.zfill(5) }} {{ '+4'.zfill(4) }} {{ 'abc'.zfill(2) }} {{ 'a'.center(5, '*') }} {{ 'ab'.center(5) }}| {{ 'abc'.center(6, '.') }} {{ 'a'.ljust(3, '-') }} {{ 'a'.rjust(3) }} {{ 'a\tb'.expandtabs(4) }}
{{ 'prefix-x'.removeprefix('prefix-') }} {{ 'x.txt'.removesuffix('.txt') }} {{ 'abc'.removeprefix('x') }} {{ 'abc'.removesuffix('') }}
{{ 'a=b=c'.partition('=') }} {{ 'a=b=c'.rpartition('=') }} {{ 'abc'.partition('=') }} {{ 'abc'.rpartition('=') }}
{{ '{} and {}'.format(1, 'two') }} {{ '{0}{1}{0}'.format('a', 'b') }} {{ '{x}-{y}'.format(x=1, y=[2]) }} {{ '{{}}'.format() }} {{ '{:>5}|{:<5}|{:^5}|{:*^7}'.format('a', 'b', 'c', 'd') }}
{{ '{:05d} {:+d} {:x} {:X} {:o} {:b} {:#x} {:,} {:_}'.format(42, 42, 255, 255, 8, 5, 255, 1234567, 1234567) }}
{{ '{:.2f} {:8.3f} {:e} {:g} {:%} {:.0f} {:,.2f} {}'.format(3.14159, 2.5, 12345.678, 0.0001, 0.25, 2.5, 1234567.891, 1.5) }}
{{ '{!r} {!s} {0.name}'.format('a', 'b') if false else '{0!r} {1!s}'.format('a', 'b') }} {{ '{0[name]} {0[tags][1]}'.format(user) }} {{ '{:{}}|'.format('a', 5) }} {{ '{:.3}'.format('abcdef') }}
{{ '{:d}'.format(true) }} {{ '{}'.format(none) }} {{ '{}'.format(true) }} {{ '{:5}|'.format(3) }} {{ '{:<5}|'.format(3) }} {{ '{:5}|'.format('a') }} {{ '{:g} {:g}'.format(1e20, 100000) }} {{ '{:.3g}'.format(1234.5) }} {{ '{:c}'.format(65) }} {{ '{:010.2f}'.format(-3.14159) }}
{{ '{a}'.format_map({'a': 1}) }}
{{ 'abc'.join(',') }} {{ 'x'.join([1]) if false }}|
{{ 'abc'.index('x') }}
{{ ','.join([1, 2]) }}
{{ 'abc'.split('') }}
{{ 'a'.startswith(1) }}
{{ 'a'.startswith(['a']) }}
{{ 'a'.strip(1) }}
{{ '{} {}'.format(1) }}
{{ '{x}'.format() }}
{{ '{'.format() }}
{{ '}'.format() }}
{{ '{:d}'.format('a') }}
{{ '{:s}'.format(1) }}
{{ 'a'.nope() }}
{{ 'a'.replace('b') }}
""",
    "percent": r"""
{{ '%s is %d' % ('x', 5) }} {{ '%s' % 'one' }} {{ '%s' % [1, 2] }} {{ '%d%%' % 50 }} {{ '%(a)s-%(b)d' % {'a': 'x', 'b': 2} }} {{ 'plain' % () }} {{ 'plain' % {} }}
{{ '%5d|%-5d|%05d|%+d|% d' % (42, 42, 42, 42, 42) }} {{ '%x %X %o %#x %#o' % (255, 255, 8, 255, 8) }} {{ '%.2f %8.3f %e %g %G' % (3.14159, 2.5, 12345.678, 0.0001, 1e20) }}
{{ '%5s|%-5s|%.2s|%r|%c|%c' % ('a', 'b', 'cde', 'q', 65, 'z') }} {{ '%*d|%-*d|%.*f' % (5, 42, 5, 42, 2, 3.14159) }} {{ '%i %u' % (1.9, 2) }} {{ '%s %s' % (none, true) }} {{ '%.3d' % 5 }} {{ '%05.1f' % -2.5 }}
{{ '%s' % undefined_name }}| {{ '%s' % (undefined_name,) }}|
{{ '%d' % 'x' }}
{{ '%s %s' % 'one' }}
{{ '%s' % (1, 2) }}
{{ 'x' % 5 }}
{{ '%(a)s' % {} }}
{{ '%q' % 1 }}
{{ '%' % 1 }}
""",
    "containers": r"""
{{ user.keys() | list }} {{ user.values() | list | length }} {{ user.address.items() | list }} {{ {}.items() | list }} {{ {'a': 1}.copy() }}
{{ [1, 2, 1].count(1) }} {{ [1, 2, 3].index(2) }} {{ (1, 2, 1).count(1) }} {{ ('a', 'b').index('b') }} {{ [1, 2].copy() }} {{ [1, 2, 1].index(1, 1) }}
{{ dict(a=1, b=2) }} {{ dict({'a': 1}, b=2) }} {{ dict([('x', 1), ('y', 2)]) }} {{ dict() }} {{ dict(**{'k': 'v'}) }}
{{ user.address.items()[0] }}| {{ user.keys() | first }} {{ user.items | first if false else 'x' }} {{ {'b': 1, 'a': 2}.items() | sort }}
{{ range(3) | list }} {{ range(2, 5) | list }} {{ range(5, 0, -2) | list }} {{ range(0) | list }} {{ range(3) | length }} {{ range(3) | sum }} {{ range(3, 3) | first }}|
{% set ns = namespace(x=1) %}{% set ns.y = 2 %}{% set ns.x = ns.x + 5 %}{{ ns.x }} {{ ns.y }} {{ ns.z }}| {{ ns['x'] }} {{ ns.x is defined }} {{ ns.z is defined }}
{% set ns = namespace({'a': 1}, b=2) %}{{ ns.a }}{{ ns.b }} {% set ns2 = namespace(**{'q': 3}) %}{{ ns2.q }}
{% set c = cycler('a', 'b', 'c') %}{{ c.next() }}{{ c.next() }}{{ c.current }}{{ c.next() }}{{ c.next() }}{{ c.reset() }}{{ c.next() }}
{% set j = joiner('; ') %}{% for x in nums %}{{ j() }}{{ x }}{% endfor %} {% set k = joiner() %}{{ k() }}{{ k() }}{{ k() }}
{{ [3, 1].sort is defined }} {{ dict is callable }} {{ range is callable }}
{{ [1].index(5) }}
{{ dict([1]) }}
{{ {[]: 1} }}
{{ range() }}
{{ range(1, 2, 0) }}
{{ range(200000) }}
{{ range('a') }}
{{ cycler() }}
{% set x = {} %}{% set x.a = 1 %}
{% set undefined_name.a = 1 %}
""",
    "filters text": r"""
{{ 'Hello'|upper }} {{ 'Hello'|lower }} {{ 'hello world'|title }} {{ "they're (ok) foo-bar [x]"|title }} {{ 'hELLO'|capitalize }} {{ none|upper }} {{ 5|lower }} {{ true|lower }} {{ undefined_name|upper }}|
{{ padded|trim }}| {{ 'xxaxx'|trim('x') }} {{ 5|trim }} {{ none|trim }} {{ undefined_name|trim }}| {{ ' a '|trim|length }} {{ '\n\n x'|trim }}
{{ 'a-b'|replace('-', '+') }} {{ 'aaa'|replace('a', 'b', 2) }} {{ 5|replace(5, 6) }} {{ 'x'|replace('x', none) }} {{ 'abc'|replace('', '.') }}
{{ html|e }} {{ html|escape }} {{ html|e|e }} {{ html|forceescape }} {{ html|safe }} {{ html|e|safe }} {{ ('<'|e) is escaped }} {{ '<'|safe is escaped }} {{ 5|e }} {{ none|e }} {{ [html]|e }}
{{ ('<a>'|safe) + '<b>' }} {{ '<b>' + ('<a>'|safe) }} {{ ('<a>'|safe) ~ '<b>' }} {{ ('%s'|safe) % '<x>' }} {{ ('{}'|safe).format('<x>') }} {{ ('<a>'|safe)|upper }} {{ ('<'|safe) * 2 }} {{ [('<'|safe)] }} {{ ('a<b'|safe).replace('a', '<') }} {{ ('<'|safe).join(['>', 'x']) }} {{ ('<'|safe)|string is escaped }}
{{ '<p>Hi  <b>there</b>&amp; &lt;you&gt;</p><!-- no -->'|striptags }} {{ 'a < b'|striptags }}
{{ 'x'|center(7) }}| {{ 'ab'|center(5) }}| {{ 'hello world foo_bar é1'|wordcount }} {{ ''|wordcount }} {{ '%s-%s'|format(1, 'b') }} {{ '%(a)s'|format(a=5) }} {{ 'abc'|string }} {{ 5|string }} {{ none|string }} {{ [1]|string }} {{ 1.5|string }} {{ true|string }}
{{ 'a b&c/d?é'|urlencode }} {{ {'a b': 'c&d', 'x': 1}|urlencode }} {{ [('a', 1), ('b', '/')]|urlencode }} {{ 5|urlencode }}
{{ {'class': 'a b', 'id': none, 'x': '<y>', 'u': undefined_name}|xmlattr }} {{ {'a': 1}|xmlattr(false) }} {{ {}|xmlattr }}|
{{ lines|indent }} {{ lines|indent(2, true) }} {{ lines|indent(2, blank=true) }} {{ 'a\nb'|indent('>> ') }} {{ ''|indent(2, true) }}| {{ 'a\n'|indent(2) }}| {{ 'a\n\n'|indent(2, true, true) }}| {{ 'one'|indent(width=8, first=true) }}
{{ 'foo bar baz qux'|truncate(9) }} {{ 'foo bar baz qux'|truncate(9, true) }} {{ 'foo bar baz qux'|truncate(11) }} {{ 'foo bar baz qux'|truncate(11, false, '...', 0) }} {{ 'abcdefghij'|truncate(5, end='!', leeway=0) }} {{ 'é日本é日本é日本'|truncate(5, true, '…', 0) }}
{{ 'The quick brown fox jumped over the lazy dog'|wordwrap(15) }}
{{ 'a verylongwordthatmustbreak here'|wordwrap(10) }} {{ 'a verylongwordthatmustbreak here'|wordwrap(10, false) }} {{ 'one two three'|wordwrap(5, wrapstring=' / ') }} {{ 'well-known self-made foo--bar thing'|wordwrap(9) }} {{ 'well-known x'|wordwrap(6, break_on_hyphens=false) }} {{ 'a\nbb cc dd\n\nee'|wordwrap(5) }} {{ '  lead and  double   spaces'|wordwrap(10) }}
{{ 1|filesizeformat }} {{ 500|filesizeformat }} {{ 1000|filesizeformat }} {{ 123456|filesizeformat }} {{ 1234567890|filesizeformat }} {{ 1024|filesizeformat(true) }} {{ 1048576|filesizeformat(binary=true) }} {{ '2000'|filesizeformat }} {{ 1e15|filesizeformat }} {{ 999999|filesizeformat }} {{ 1023|filesizeformat(true) }} {{ 1e30|filesizeformat }} {{ 0|filesizeformat }}
{{ user|pprint }} {{ {'b': 1, 'a': [1, 2]}|pprint }} {{ 'x'|pprint }} {{ [1, 'a']|pprint }}
{{ {'alpha': 'a fairly long value number one', 'beta': 'a fairly long value number two', 'gamma': [1, 2, 3]}|pprint }}
{{ none|indent }}
{{ undefined_name|indent }}
{{ 'abc'|truncate(2) }}
{{ 'a'|wordwrap(0) }}
{{ 'x'|nosuchfilter }}
{{ 'x'|upper(1) }}
{{ '%d'|format('x') }}
{{ 5|indent }}
""",
    "filters numbers": r"""
{{ -5|abs }} {{ (-5)|abs }} {{ -2.5|abs }} {{ true|abs }}
{{ '42'|int }} {{ '42.7'|int }} {{ 42.9|int }} {{ -42.9|int }} {{ 'abc'|int }} {{ 'abc'|int(7) }} {{ '0x1f'|int(0, 16) }} {{ 'ff'|int(base=16) }} {{ '101'|int(base=2) }} {{ none|int }} {{ none|int(-1) }} {{ true|int }} {{ ' 12 '|int }} {{ '1_000'|int }} {{ '1e3'|int }} {{ []|int }} {{ 'inf'|int }} {{ '-7'|int }} {{ '+7'|int }} {{ ''|int }} {{ '٣'|int }} {{ 1e20|int }} {{ '12345678901234567890'|int }}
{{ '3.5'|float }} {{ 'x'|float }} {{ 'x'|float(1.5) }} {{ 3|float }} {{ '1e5'|float }} {{ none|float }} {{ ' 2.5 '|float }} {{ '.5'|float }} {{ '5.'|float }} {{ 'infinity'|float }} {{ '1_0.5'|float }} {{ '--1'|float }} {{ true|float }}
{{ 42.55|round }} {{ 42.55|round(1) }} {{ 42.55|round(1, 'floor') }} {{ 42.51|round(1, 'ceil') }} {{ 2.5|round }} {{ 3.5|round }} {{ -2.5|round }} {{ 2.675|round(2) }} {{ 1234.5|round(-2) }} {{ 42|round }} {{ 1250|round(-2) }} {{ 1350|round(-2) }} {{ 42.4|round|int }} {{ 42|round(1, 'floor') }} {{ 0.5|round(0, 'ceil') }} {{ 1e300|round(2) }} {{ 5.015|round(2) }} {{ -1250|round(-2) }} {{ true|round }}
{{ [1, 2, 3]|sum }} {{ [1.5, 2]|sum }} {{ []|sum }} {{ users|sum(attribute='age') }} {{ [1, 2]|sum(start=10) }} {{ [[1], [2]]|sum(start=[]) }} {{ [true, true]|sum }}
{{ 'a'|abs }}
{{ undefined_name|int }}
{{ undefined_name|abs }}
{{ 'x'|round }}
{{ 1|round(1, 'other') }}
{{ ['a']|sum }}
{{ none|round }}
""",
    "filters sequences": r"""
{{ nums|length }} {{ text|length }} {{ unicode|length }} {{ user|length }} {{ nums|count }} {{ ''|length }} {{ undefined_name|length }} {{ (1, 2)|length }} {{ user.items()|length }}
{{ nums|first }} {{ nums|last }} {{ []|first }}| {{ []|last }}| {{ 'abc'|first }} {{ 'abc'|last }} {{ user|first }} {{ user|last }} {{ (1, 2)|last }} {{ range(5)|last }} {{ 'aé'|last }}
{{ nums|join }} {{ nums|join(', ') }} {{ users|join(', ', attribute='name') }} {{ ['a', 1, none, true]|join('-') }} {{ 'abc'|join('.') }} {{ user|join(',') }} {{ []|join(',') }}| {{ undefined_name|join(',') }}| {{ [1, [2]]|join(d='/') }} {{ nums|join(1) }}
{{ 'abc'|list }} {{ user|list }} {{ (1, 2)|list }} {{ undefined_name|list }} {{ range(3)|list }} {{ nums|reverse|list }} {{ 'abc'|reverse }} {{ 'aé日'|reverse }} {{ user|reverse|list }} {{ range(3)|reverse|list }} {{ (1, 2)|reverse|first }} {{ nums|map('string')|reverse }}
{{ user.address|items|list }} {{ undefined_name|items|list }} {% for k, v in user.address|items %}{{ k }}={{ v }}{% endfor %}
{{ nums|sort }} {{ words|sort }} {{ words|sort(case_sensitive=true) }} {{ nums|sort(reverse=true) }} {{ words|sort(true) }} {{ users|sort(attribute='age')|map(attribute='name')|list }} {{ users|sort(attribute='age,name', reverse=true)|map(attribute='name')|list }} {{ 'cab'|sort }} {{ user.address|sort }} {{ [(2, 'a'), (1, 'b')]|sort }} {{ nested|sort(attribute='0')|list }} {{ [1, true, 0.5]|sort }} {{ []|sort }}
{{ {'b': 1, 'A': 2, 'c': 0}|dictsort }} {{ {'b': 1, 'A': 2}|dictsort(true) }} {{ {'b': 1, 'A': 2}|dictsort(by='value') }} {{ {'b': 1, 'a': 2}|dictsort(reverse=true) }} {{ {'b': 1, 'a': 2}|dictsort(false, 'value', true) }} {{ {}|dictsort }}
{{ ['a', 'A', 'b', 'a', 1, 1.0, true]|unique|list }} {{ ['a', 'A']|unique(true)|list }} {{ users|unique(attribute='city')|map(attribute='name')|list }} {{ 'abca'|unique|join }}
{{ nums|min }} {{ nums|max }} {{ words|min }} {{ words|max }} {{ words|max(true) }} {{ users|min(attribute='age') }} {{ []|max }}| {{ 'hello'|max }} {{ [1, 2.5, true]|max }} {{ users|max(attribute='age')|attr('x') }}|
{{ range(7)|batch(3)|list }} {{ range(7)|batch(3, 'x')|list }} {{ []|batch(2)|list }} {{ 'abcde'|batch(2)|map('join')|list }} {{ range(3)|batch(0)|list }}
{{ range(7)|slice(3)|list }} {{ range(7)|slice(3, 'x')|list }} {{ [1]|slice(3)|list }} {{ []|slice(2)|list }}
{% for g in users|groupby('city') %}{{ g.grouper }}:{{ g.list|length }} {% endfor %} {% for city, list in users|groupby('age') %}{{ city }}={{ list|map(attribute='name')|join('+') }} {% endfor %} {{ users|groupby('active', default=false)|map('first')|list }} {{ [{'c': 'CA'}, {'c': 'ny'}, {'c': 'ca'}]|groupby('c')|map(attribute='grouper')|list }} {{ [{'c': 'CA'}, {'c': 'ca'}]|groupby('c', case_sensitive=true)|length }} {{ [{'a': 1}]|groupby('a') }}
{{ users|map(attribute='name')|list }} {{ users|map(attribute='active', default='?')|list }} {{ nums|map('string')|list }} {{ words|map('upper')|join }} {{ ['a-b', 'c-d']|map('replace', '-', '+')|list }} {{ [[1, 2], [3]]|map('length')|list }} {{ [[1, 2], [3]]|map('join', ',')|list }} {{ users|map(attribute='address.city')|list if false }}| {{ nested|map(attribute=0)|list }} {{ nested|map(attribute='1')|list }} {{ none|map('upper')|list }} {{ undefined_name|map('upper')|list }} {{ users|map('attr', 'x')|list|length }} {{ [1, none]|map('default', 'd', true)|list }}
{{ nums|select('odd')|list }} {{ nums|reject('odd')|list }} {{ [0, 1, '', 'a', none]|select|list }} {{ [0, 1, '', 'a', none]|reject|list }} {{ nums|select('gt', 1)|list }} {{ nums|select('in', [1, 3])|list }} {{ nums|reject('equalto', 3)|list }} {{ nums|select('divisibleby', 3)|list }} {{ none|select('odd')|list }} {{ words|select('==', 'a')|list }}
{{ users|selectattr('active')|map(attribute='name')|list }} {{ users|rejectattr('active')|map(attribute='name')|list }} {{ users|selectattr('age', 'equalto', 36)|map(attribute='name')|list }} {{ users|selectattr('active', 'defined')|list|length }} {{ users|rejectattr('age', '>', 30)|map(attribute='name')|first }} {{ messages|selectattr('role', 'equalto', 'user')|list|length }} {{ messages|selectattr('tool_calls', 'defined')|map(attribute='role')|list }} {{ users|selectattr('city', 'in', ['paris'])|list|length }} {{ messages|rejectattr('role', 'eq', 'system')|first|tojson }} {{ (messages|selectattr('role', 'eq', 'none')|list)|length }}
{{ undefined_name|default('d') }} {{ nil|default('d') }} {{ ''|default('d', true) }} {{ 0|default(5, boolean=true) }} {{ undefined_name|d }}| {{ undefined_name|d('x')|upper }} {{ user.zip|default('none') }} {{ (undefined_name|default({})).x }}| {{ nil|d(1, true) }} {{ false|default(true) }}
{{ user|attr('name') }}| {{ 'abc'|attr('upper') is callable }} {{ user|attr('items') is callable }} {{ nums|map('string')|length if false }}| {% set g = nums|map('string') %}{{ g|list }}{{ g|list }}
{{ nums|map('string') is iterable }} {{ nums|map('string') is sequence }} {{ (nums|map('string'))[0] }}| {{ (nums|select)|first }} {{ nums|select|map('string')|join(',') }} {{ 'x' in (['x']|map('string')) }}
{{ none|length }}
{{ 5|length }}
{{ nums|map('string')|length }}
{{ nums|map('string')|last }}
{{ none|join }}
{{ 5|list }}
{{ none|first }}
{{ none|items }}{{ none|items|list }}
{{ [1, 'a']|sort }}
{{ [{}, {}]|sort }}
{{ [none, 1]|max }}
{{ {'a': 1, 1: 2}|dictsort }}
{{ [1]|map('nosuch')|list }}
{{ [1]|select('nosuch')|list }}
{{ [1]|map()|list }}
{{ [1]|map(attribute='a', x=1)|list }}
{{ users|map(attribute='a.b')|list }}
{{ [[]]|unique|list }}
{{ nums|selectattr()|list }}
{{ none|reverse }}
{{ 5|batch(2)|list }}
{{ undefined_name|attr('x') }}
{{ undefined_name|dictsort }}
{{ nums|dictsort }}
""",
    "tojson": r"""
{{ user|tojson }} {{ nums|tojson }} {{ 'a"b\\c\n\t\x01/é🚀'|tojson }} {{ html|tojson }} {{ none|tojson }} {{ true|tojson }} {{ 1.0|tojson }} {{ 1e100|tojson }} {{ (1, 2)|tojson }} {{ {}|tojson }} {{ []|tojson }} {{ '\x7f\u2028'|tojson }}
{{ schema|tojson(indent=2) }}
{{ schema|tojson(indent=4, sort_keys=true) }}
{{ [[], {}, [1]]|tojson(indent=1) }} {{ [1, 2]|tojson(indent=0) }} {{ {'a': 1}|tojson(indent='--') }} {{ [1, [2]]|tojson(indent=none) }} {{ [1]|tojson(indent=true) }}
{{ {'a': 1, 'b': [1, 2]}|tojson(separators=(',', ':')) }} {{ {'a': 1, 'b': 2}|tojson(separators=(', ', '=')) }} {{ {'a': [1]}|tojson(indent=2, separators=(',', ' : ')) }} {{ unicode|tojson(ensure_ascii=true) }} {{ 'é\x7f'|tojson(true) }} {{ {'b': 1, 'a': {'d': 1, 'c': 2}}|tojson(sort_keys=true) }}
{{ {1: 'a', 2.5: 'b', none: 'c', true: 'd'}|tojson }} {{ 'nan'|float|tojson }} {{ 'inf'|float|tojson }} {{ messages[2].tool_calls[0].function.arguments|tojson }} {{ 0.1|tojson }} {{ -0.0|tojson }} {{ big|tojson }} {{ user.address.city|tojson }} {{ dict(a=1)|tojson }} {{ '<safe>'|safe|tojson }}
{{ undefined_name|tojson }}
{{ range(3)|tojson }}
{{ user.items()|tojson }}
{{ user.nope|tojson }}
{{ {(1, 2): 3}|tojson }}
{{ nums|map('string')|tojson }}
{{ namespace(a=1)|tojson }}
{{ {'a': 1, 2: 3}|tojson(sort_keys=true) }}
""",
    "tests": r"""
{{ name is defined }} {{ undefined_name is defined }} {{ undefined_name is not defined }} {{ undefined_name is undefined }} {{ user.zip is defined }} {{ nil is defined }} {{ user.address.zip is undefined }}
{{ nil is none }} {{ zero is none }} {{ undefined_name is none }} {{ nil is not none }} {{ yes is true }} {{ 1 is true }} {{ no is false }} {{ 0 is false }} {{ yes is boolean }} {{ 1 is boolean }} {{ nil is boolean }}
{{ 1 is number }} {{ 1.5 is number }} {{ true is number }} {{ '1' is number }} {{ 1 is integer }} {{ true is integer }} {{ 1.0 is integer }} {{ 1.0 is float }} {{ 1 is float }} {{ big is integer }} {{ big is number }}
{{ 'a' is string }} {{ 1 is string }} {{ nums is string }} {{ user is mapping }} {{ nums is mapping }} {{ nums is sequence }} {{ 'a' is sequence }} {{ user is sequence }} {{ (1,) is sequence }} {{ range(3) is sequence }} {{ 5 is sequence }} {{ none is sequence }} {{ undefined_name is sequence }} {{ user.keys() is sequence }}
{{ nums is iterable }} {{ 'a' is iterable }} {{ user is iterable }} {{ 5 is iterable }} {{ none is iterable }} {{ undefined_name is iterable }} {{ range(1) is iterable }} {{ user.items() is iterable }} {{ user.items is callable }} {{ 'a' is callable }} {{ undefined_name is callable }} {{ range is callable }} {{ undefined_name is string }} {{ undefined_name is mapping }}
{{ 3 is odd }} {{ 4 is odd }} {{ 4 is even }} {{ 3 is even }} {{ -3 is odd }} {{ 9 is divisibleby 3 }} {{ 10 is divisibleby(3) }} {{ 2.0 is even }} {{ true is odd }}
{{ 'abc' is lower }} {{ 'Abc' is lower }} {{ 'ABC' is upper }} {{ 'abc' is upper }} {{ '' is lower }} {{ 5 is upper }} {{ none is lower }}
{{ 1 is eq 1 }} {{ 1 is equalto 2 }} {{ 1 is ne 2 }} {{ 2 is gt 1 }} {{ 2 is ge 2 }} {{ 1 is lt 2 }} {{ 1 is le 0 }} {{ 3 is greaterthan 2 }} {{ 1 is lessthan 2 }} {{ 1 is sameas 1 }} {{ true is sameas true }} {{ 1 is sameas true }} {{ none is sameas none }} {{ 1 is in [1, 2] }} {{ 'a' is in 'abc' }} {{ 1 is not in [1] }}
{{ 'upper' is filter }} {{ 'nope' is filter }} {{ 'odd' is test }} {{ 'nope' is test }} {{ '<'|e is escaped }} {{ 'a' is escaped }}
{{ name is defined and name is string }} {{ not name is defined }} {{ name is string or 1 }} {{ 'x' if name is defined else 'y' }} {{ (name is defined) ~ 'a' }} {{ name|upper is upper }} {{ 5 is not string }} {{ 1 + 1 is even }} {{ name is not none and name is not mapping }} {{ -1 is number }}
{{ user.name is string and user['age'] is number }} {{ messages[0].content is string }} {{ messages[4].content is not string }} {{ messages[4]['content'] is iterable and messages[4]['content'] is not mapping }}
{{ 5 is nosuchtest }}
{{ 'a' is odd }}
{{ undefined_name is odd }}
{{ 5 is divisibleby 0 }}
{{ 1 is gt 'a' }}
{{ undefined_name is gt 1 }}
{{ 1 is in 5 }}
{{ 1 is defined(2) }}
{{ 1 is eq }}
""",
    "set and with": r"""
{% set x = 5 %}{{ x }} {% set a, b = 1, 2 %}{{ a }}{{ b }} {% set a, b = b, a %}{{ a }}{{ b }} {% set (p, (q, r)) = (1, (2, 3)) %}{{ p }}{{ q }}{{ r }} {% set t = 1, 2 %}{{ t }} {% set s = 'x' if 1 else 'y' %}{{ s }}
{% set x %}block {{ name }}{% endset %}{{ x }}|{{ x|length }} {% set y | upper | replace('L', '_') %}hello{% endset %}{{ y }} {% set z %}{% set inner = 1 %}{{ inner }}{% endset %}{{ z }}{{ inner }}|
{% set x = 1 %}{% if true %}{% set x = 2 %}{% endif %}{{ x }} {% for i in [1] %}{% set x = 3 %}{% endfor %}{{ x }} {% with %}{% set x = 4 %}{{ x }}{% endwith %}{{ x }}
{% with a=1, b=name %}{{ a }}{{ b }}{% endwith %}{{ a }}| {% set a = 9 %}{% with a=1, b=a %}{{ a }}{{ b }}{% endwith %}{{ a }} {% with %}{% set q = 1 %}{% endwith %}{{ q }}|
{% set ns = namespace(n=0) %}{% for i in nums %}{% set ns.n = ns.n + i %}{% endfor %}{{ ns.n }} {% set ns.a, ns.b = 1, 2 %}{{ ns.a }}{{ ns.b }} {% set ns.t %}txt{% endset %}{{ ns.t }}
{% for i in [1, 2] %}{{ x }}|{% set x = i %}{{ x }}{% endfor %}{{ x }}|
{% set x = 0 %}{% for i in [1, 2] %}{{ x }}{% set x = x + i %}{{ x }} {% endfor %}{{ x }}
{% if false %}{% set cond = 1 %}{% endif %}{{ cond is defined }} {% set name = name ~ '!' %}{{ name }}
{% set loop_messages = messages %}{% if messages[0].role == 'system' %}{% set loop_messages = messages[1:] %}{% set sys = messages[0].content %}{% endif %}{{ loop_messages|length }}{{ sys }}
{% set range = 5 %}{{ range }} {% set x = [] %}{% set x = x + [1] %}{% set x = x + [2] %}{{ x }}
{% set a, b = [1] %}
{% set a, b = 1, 2, 3 %}
{% set a, b = 5 %}
{% set 5 = 1 %}
{% set true = 1 %}
{% set x %}no end
{% with a %}{% endwith %}
""",
    "for": r"""
{% for x in nums %}{{ x }}{% endfor %} {% for c in 'aé日' %}{{ c }},{% endfor %} {% for k in user %}{{ k }} {% endfor %} {% for k, v in user.address.items() %}{{ k }}={{ v }}{% endfor %} {% for x in [] %}x{% else %}none{% endfor %} {% for x in undefined_name %}x{% else %}none{% endfor %} {% for x in range(3) %}{{ x }}{% else %}no{% endfor %}
{% for x in nums %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }} {% endfor %}
{% for x in nums %}{{ loop.previtem }}<{{ x }}>{{ loop.nextitem }};{% endfor %} {% for x in nums %}{{ loop.previtem is defined }}{{ loop.nextitem is defined }} {% endfor %}
{% for x in nums %}{{ loop.cycle('odd', 'even') }} {% endfor %} {% for x in [1, 1, 2, 2, 1] %}{{ loop.changed(x) }} {% endfor %} {% for x in [1, 2] %}{{ loop }} {% endfor %} {% for x in [1] %}{{ loop.depth }}{{ loop.depth0 }}{{ loop.nope }}|{% endfor %}
{% for x in nums if x > 1 %}{{ loop.index }}:{{ x }}/{{ loop.length }} {% endfor %} {% for x in nums if x > 5 %}x{% else %}none{% endfor %} {% for k, v in user.items() if v is string %}{{ k }}{% endfor %} {% for m in messages if m.role == 'user' %}{{ loop.last }}{% endfor %}
{% for a, b in [(1, 2), [3, 4], 'xy'] %}{{ a }}-{{ b }} {% endfor %} {% for (a, b), c in [((1, 2), 3)] %}{{ a }}{{ b }}{{ c }}{% endfor %}
{% for x in nums %}{% if x == 1 %}{% continue %}{% endif %}{{ x }}{% endfor %} {% for x in nums %}{% if x == 1 %}{% break %}{% endif %}{{ x }}{% endfor %} {% for x in nums %}{% for y in nums %}{% if y == 1 %}{% break %}{% endif %}{{ x }}{{ y }} {% endfor %}{% endfor %} {% for x in [1] %}{% break %}{% else %}else{% endfor %}
{% for x in nums %}{% for y in [1, 2] %}{{ loop.index }}{% endfor %}:{{ loop.index }} {% endfor %} {% for x in nums %}{% set outer = loop %}{% for y in [1, 2] %}{{ outer.index }}{{ loop.index }} {% endfor %}{% endfor %}
{% for n in tree recursive %}{{ n.v }}@{{ loop.depth }}{% if n.kids %}({{ loop(n.kids) }}){% endif %}{% if not loop.last %},{% endif %}{% endfor %}
{% for x in [[1, [2]], 3] recursive %}{% if x is iterable %}[{{ loop(x) }}]{% else %}{{ x }}{{ loop.depth0 }}{% endif %}{% endfor %}
{% for x in nums | sort %}{{ x }}{% endfor %} {% for x in nums[::-1] %}{{ x }}{% endfor %} {% for x in (1, 2) %}{{ x }}{% endfor %} {% for x in 1, 2 %}{{ x }}{% endfor %} {% for x in nums | map('string') %}{{ x }}{{ loop.last }}{{ loop.length }} {% endfor %} {% for x in nums | select('odd') %}{{ loop.revindex }}{% endfor %}
{% for i in range(messages | length - 1, -1, -1) %}{{ messages[i].role[0] }}{% endfor %} {% for m in messages %}{% if loop.index0 > 0 and messages[loop.index0 - 1].role == 'user' %}after {{ m.role }} {% endif %}{% endfor %}
{% for x in nums %}{% set last = x %}{% endfor %}{{ last }}| {% for x in nums %}{% endfor %}{{ x }}|{{ loop }}|
{% for x in [1, 2, 3] %}{{ x }}{{ ', ' if not loop.last }}{% endfor %} {% for x in nums if x is odd and x > 1 %}{{ x }}{% endfor %} {% for x in (nums if yes else []) %}{{ x }}{% endfor %}
{% for key in user.keys() | sort %}{{ key }}{{ '' if loop.last else '|' }}{% endfor %} {% for i in range(3) %}{% for j in range(i) %}{{ i }}{{ j }} {% endfor %}{% endfor %}
{% for x in none %}{% endfor %}
{% for x in 5 %}{% endfor %}
{% for a, b in [1] %}{% endfor %}
{% for a, b in [(1, 2, 3)] %}{% endfor %}
{% for a, b in [(1,)] %}{% endfor %}
{% for loop in nums %}{% endfor %}
{% for x in nums %}{{ loop(x) }}{% endfor %}
{% for x in nums %}{{ loop.cycle() }}{% endfor %}
{% for x in nums %}
{% for x nums %}{% endfor %}
{% break %}
{% for x in [1] %}{{ loop.nope.x }}{% endfor %}
""",
    "macros": r"""
{% macro f(a, b=2) %}{{ a }}-{{ b }}{% endmacro %}{{ f(1) }} {{ f(1, 3) }} {{ f(b=5, a=4) }} {{ f() }}| {{ f(1, b=none) }} {{ f(*[1, 2]) }} {{ f(**{'a': 1, 'b': 'x'}) }} {{ f(*[7], **{'b': 8}) }}
{% macro f(a, b=a) %}{{ a }}{{ b }}{% endmacro %}{{ f(1) }} {{ f(1, 2) }} {% macro g(x=name) %}{{ x }}{% endmacro %}{{ g() }} {% macro h(l=[1, 2]) %}{{ l|length }}{% endmacro %}{{ h() }}{{ h([]) }}
{% macro v() %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ v(1, 2, x=3) }} {{ v() }} {% macro w(a) %}{{ a }}{{ varargs|join(',') }}{{ kwargs.z }}{% endmacro %}{{ w(1, 2, 3, z=4) }}
{% macro box(t) %}<{{ t }}:{{ caller() }}>{% endmacro %}{% call box('x') %}body {{ name }}{% endcall %} {% macro list(items) %}{% for i in items %}{{ caller(i, loop.index) }};{% endfor %}{% endmacro %}{% call(item, n) list(nums) %}{{ n }}={{ item }}{% endcall %}
{% macro opt() %}{% if caller %}{{ caller() }}{% else %}none{% endif %}{% endmacro %}{{ opt() }} {% call opt() %}some{% endcall %} {% macro d(caller=none) %}{{ caller is none }}{% endmacro %}{{ d() }}{% call d() %}x{% endcall %}
{% macro fact(n) %}{% if n <= 1 %}1{% else %}{{ n * (fact(n - 1) | int) }}{% endif %}{% endmacro %}{{ fact(10) }} {% macro even(n) %}{% if n == 0 %}yes{% else %}{{ odd(n - 1) }}{% endif %}{% endmacro %}{% macro odd(n) %}{% if n == 0 %}no{% else %}{{ even(n - 1) }}{% endif %}{% endmacro %}{{ even(7) }}
{% set g = 1 %}{% macro show() %}{{ g }}{% set g = 5 %}{% endmacro %}{{ show() }} {% set g = 2 %}{{ show() }}{{ g }} {% macro late() %}{{ after }}{% endmacro %}{{ late() }}|{% set after = 3 %}{{ late() }}
{% macro outer() %}{% macro inner(x) %}[{{ x }}{{ y }}]{% endmacro %}{% set y = 1 %}{{ inner(2) }}{% endmacro %}{{ outer() }}{{ inner is defined }} {% for i in [1, 2] %}{% macro m() %}{{ i }}{% endmacro %}{{ m() }}{% endfor %}{{ m is defined }}
{% macro f(a) %}{{ a }}{% endmacro %}{{ f }} {{ f.name }} {{ f.arguments }} {{ f is callable }} {{ f('x')|upper }} {{ [f(1), f(2)] }} {{ f(1) ~ f(2) }} {{ f('  x  ')|trim|length }} {{ f is mapping }}
{% macro ws() -%}   text   {%- endmacro %}[{{ ws() }}] {% macro e() %}{% endmacro %}[{{ e() }}] {{ e() == '' }} {% macro s() %}{{ 5 }}{% endmacro %}{{ s() + '1' }} {{ s() is string }}
{% set ns = namespace(out='') %}{% macro add(x) %}{% set ns.out = ns.out ~ x %}{% endmacro %}{{ add(1) }}{{ add(2) }}{{ ns.out }} {% set ns.fn = add %}{{ ns.fn(3) }}{{ ns.out }}
{% macro render(v, depth=0) %}{% if v is mapping %}{ {%- for k, x in v.items() %}{{ k }}:{{ render(x, depth + 1) }},{% endfor %}}{% elif v is string %}"{{ v }}"{% elif v is iterable %}[{% for x in v %}{{ render(x, depth=depth + 1) }}{{ ' ' if not loop.last }}{% endfor %}]{% else %}{{ v }}@{{ depth }}{% endif %}{% endmacro %}{{ render(schema) }}
{% macro f(a) %}{% endmacro %}{{ f(1, 2) }}
{% macro f(a) %}{% endmacro %}{{ f(b=1) }}
{% macro f(a, b=1, c) %}{% endmacro %}
{% macro f(caller) %}{{ caller }}{% endmacro %}
{% macro f() %}{{ x.y }}{% endmacro %}{{ f() }}
{% macro f() %}{{ caller() }}{% endmacro %}{{ f() }}
{% macro f() %}x{% endmacro %}{% call f() %}y{% endcall %}
{% call 5 %}{% endcall %}
{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}
{% macro f(a) %}{{ a.b }}{% endmacro %}{{ f() }}
{% macro f() %}{% endmacro %}{{ f(*5) }}
{% macro f() %}{% endmacro %}{{ f(**5) }}
""",
    "blocks": r"""
{% filter upper %}abc {{ name }}{% endfilter %} {% filter replace('a', 'b') | upper %}banana{% endfilter %} {% filter trim %}  x  {% endfilter %}| {% set q = 1 %}{% filter upper %}{% set q = 2 %}{{ q }}x{% endfilter %}{{ q }}
{% generation %}assistant {{ name }}{% endgeneration %}| {% set q = 1 %}{% generation %}{% set q = 2 %}{{ q }}{% endgeneration %}{{ q }} {% for m in nums %}{% generation %}{{ m }}{{ loop.index }}{% endgeneration %}{% endfor %}
{% raw %}{{ not }} {% parsed %} {# at all #}{% endraw %} {%raw%}x{%endraw%} {%- raw -%}  y  {%- endraw -%}  z
{# comment #}a{#- stripped -#} b {# multi
line #}c {#{{ x }}#}d{##}e
{% block title %}T{{ name }}{% endblock %} {% block x scoped %}{{ name }}{% endblock x %} {% set v = 1 %}{% block y %}{{ v }}{% set v = 2 %}{% endblock %}{{ v }}
{% print name %} {% print 1, 'a', name %} {% autoescape false %}{{ html }}{% endautoescape %}
{% if true: %}colon{% endif %} {% for x in nums: %}{{ x }}{% endfor: %}
{{ raise_exception('Custom problem: ' ~ name) }}
{% if messages[0].role != 'user' %}{{ raise_exception('Conversation roles must alternate') }}{% endif %}
{{ raise_exception() }}
{{ strftime_now('%Y-%m-%d') }} {{ strftime_now('%d %b %Y, %H:%M:%S %A %j %p %I %y %B %%') }} {{ strftime_now('%-d/%-m %e') }} {{ strftime_now('') }}| {{ strftime_now('%f|%z|%Z') }} {{ strftime_now is defined }}
{% include 'x' %}
{% extends 'x' %}
{% import 'x' as y %}
{% from 'x' import y %}
{% nosuchtag %}
{% endif %}
{% if x %}
{% if %}x{% endif %}
{{ }}
{{ 1 2 }}
{{ 1 + }}
{{ (1 }}
{{ [1 }}
{{ 'open }}
{{ a. }}
{{ a| }}
{{ ! }}
{{ 1 is defined is string }}
{# open
{% raw %}open
{{ x
{% set x = %}
{{ f(a=1, 2) }}
{{ {'a'} }}
{{ @ }}
{% for %}{% endfor %}
{{ 'a' 5 }}
{% else %}
{{ ) }}
{{ (] }}
{% if false %}{% include 'x' %}{% endif %}fine
""",
}

TALL = {
    "whitespace": [
        "a\n  {% if true %}\n    b\n  {% endif %}\nc\n",
        "a\n  {%- if true -%}\n    b\n  {%- endif -%}\nc\n",
        "a\n  {%+ if true %}\n    b\n  {%+ endif +%}\nc\n",
        "{% if true +%}\nx\n{% endif %}\n\ny\n",
        "  {% if true %}x{% endif %}  \n  y",
        "x {% if true %} y {% endif %} z",
        "\n\n{% if true %}\n\nx\n\n{% endif %}\n\n",
        "{{ 'a' }}\n{{ 'b' }}\n",
        "{{ 'a' -}}\n   {{- 'b' }}",
        "   {{ 'a' }}   ",
        "  {{- 'a' -}}  b",
        "  {# c #}\n  x {# c #}\ny",
        "  {#- c -#}\n  x",
        "a {#+ c +#}\n b",
        "{% for i in [1, 2] %}\n  {{ i }}\n{% endfor %}\nend",
        "{%- for i in [1, 2] %}\n  {{- i }}\n{%- endfor %}\nend",
        "{% for i in [1, 2] -%}\n  {{ i }}\n{%- endfor -%}\nend",
        "  {% set x = 1 %}  {% set y = 2 %}\n{{ x }}{{ y }}",
        "\t{% set x = 1 %}\n\t{{ x }}\n",
        "a\r\nb\r\n{% if true %}\r\nc\r\n{% endif %}\r\nd\r\n",
        "a\rb{% if true %}\rc{% endif %}",
        "x\n",
        "x\n\n",
        "\n",
        "",
        "{{ 'x\n' }}\n",
        "  {% raw %}\n  {{ x }}\n  {% endraw %}\n  y\n",
        "{% raw -%}\n  x  \n{%- endraw %}  y",
        "a\n  {% raw %}  b  {% endraw +%}\nc",
        "{{ {'a': {'b': 1}} }}",
        "{{ {'a': 1}}}",
        "{% set x = {'a': {}} %}{{ x }}",
        "{{ '}}' }} {{ \"{%\" }}",
        "{ {x} } {a} {",
        "{{ 1 -}} \n\n {# c #} \n\n {{- 2 }}",
        "{% if true %}{% endif %}\n\n{% if true %}{% endif %}\n",
        "a\u00a0\n\u2003{%- if true -%}\u00a0 b {%- endif %}",
        "line1\n    {%- set x = 1 %}\n    line2",
        "{% macro m() %}\n  x\n{% endmacro %}\n[{{ m() }}]",
        "{% set b %}\n  x\n{% endset %}\n[{{ b }}]",
        "{{\n  'multi'\n  ~\n  'line'\n}}",
        "{%\n if true\n %}x{% endif %}",
        "{{-1}} {{- 1 }} {{ -1 }} {{+1}}",
        "{{ 1 }}\n\n",
        "{% if false %}\n  a\n{% else %}\n  b\n{% endif %}\n",
        "   {% if true %}   \n   x   \n   {% endif %}   \n",
        "a{% if true %}\nb{% endif %}\nc",
        "\u3000{% if true %}x{% endif %}",
    ],
    "scoping": [
        "{% set x = 'o' %}{% macro m() %}{{ x }}{% endmacro %}{% for x in [1] %}{{ m() }}{{ x }}{% endfor %}",
        "{% set x = 1 %}{% for i in [1, 2] %}{% if i == 2 %}{{ x }}{% endif %}{% set x = 9 %}{% endfor %}{{ x }}",
        "{% for i in [1, 2] %}{% if i == 1 %}{% set y = 'first' %}{% endif %}{{ y }}|{% endfor %}",
        "{% for i in [1, 2] %}{% if i == 2 %}{% set name = 'inner' %}{% endif %}{{ name }}|{% endfor %}{{ name }}",
        "{% macro m(name) %}{{ name }}{% endmacro %}{{ m('arg') }}{{ name }}{{ m() }}|",
        "{% macro m() %}{% set name = 'in' %}{{ name }}{% endmacro %}{{ m() }}{{ name }}",
        "{% call(x) (namespace(f=none)).f() %}{% endcall %}",
        "{% macro wrap() %}{% set q = 'macro' %}{{ caller() }}{% endmacro %}{% set q = 'outside' %}{% call wrap() %}{{ q }}{% endcall %}",
        "{% with x=1 %}{% with x=2, y=x %}{{ x }}{{ y }}{% endwith %}{{ x }}{% endwith %}",
        "{% for a in [1, 2] %}{% for b in ['x', 'y'] %}{% set c = a ~ b %}{{ c }}{% endfor %}{{ c }}|{% endfor %}",
        "{% if true %}{% macro late() %}L{% endmacro %}{% endif %}{{ late() }}",
        "{% for m in messages %}{% if m.role == 'system' %}{% set sys = m.content %}{% endif %}{% endfor %}{{ sys is defined }}",
        "{% set a = 1 %}{% filter upper %}{{ a }}{% set a = 'b' %}{{ a }}{% endfilter %}{{ a }}",
        "{% for x in [1, 2] if x != loop %}{{ x }}{% endfor %}",
        "{% set x = 1 %}{% for x in [2] if x > 1 %}{{ x }}{% endfor %}{{ x }}",
        "{% macro m() %}{% for i in [1] %}{{ caller(i) }}{% endfor %}{% endmacro %}{% for i in [7] %}{% call(j) m() %}{{ i }}{{ j }}{% endcall %}{% endfor %}",
    ],
    "chat idioms": [
        "{% for message in messages %}{{ '<|' + message['role'] + '|>\\n' }}{% if message['content'] is string %}{{ message['content'] | trim }}{% else %}{% for part in message['content'] %}{% if part['type'] == 'text' %}{{ part['text'] }}{% elif part['type'] == 'image' %}<image>{% endif %}{% endfor %}{% endif %}{{ '<|end|>\\n' }}{% endfor %}",
        "{%- if messages[0]['role'] == 'system' -%}\n    {%- set system_message = messages[0]['content'] -%}\n    {%- set rest = messages[1:] -%}\n{%- else -%}\n    {%- set rest = messages -%}\n{%- endif -%}\n{{- system_message -}}\n{%- for m in rest -%}\n    {%- if (m['role'] == 'user') != (loop.index0 % 2 == 0) -%}\n        {{- ' odd ' -}}\n    {%- endif -%}\n    {{- m.role ~ ';' -}}\n{%- endfor -%}",
        "{%- set ns = namespace(multi_step_tool=true, last_query_index=messages|length - 1) %}\n{%- for message in messages[::-1] %}\n    {%- set index = (messages|length - 1) - loop.index0 %}\n    {%- if ns.multi_step_tool and message.role == 'user' and message.content is string and not (message.content.startswith('<r>') and message.content.endswith('</r>')) %}\n        {%- set ns.multi_step_tool = false %}\n        {%- set ns.last_query_index = index %}\n    {%- endif %}\n{%- endfor %}\n{{- ns.last_query_index }}",
        "{%- for message in messages %}\n    {%- if message.tool_calls %}\n        {%- for tool_call in message.tool_calls %}\n            {%- if tool_call.function %}\n                {%- set tool_call = tool_call.function %}\n            {%- endif %}\n            {{- '\\n<tool_call>\\n{\"name\": \"' }}\n            {{- tool_call.name }}\n            {{- '\", \"arguments\": ' }}\n            {%- if tool_call.arguments is string %}\n                {{- tool_call.arguments }}\n            {%- else %}\n                {{- tool_call.arguments | tojson }}\n            {%- endif %}\n            {{- '}\\n</tool_call>' }}\n        {%- endfor %}\n    {%- endif %}\n{%- endfor %}",
        "{%- macro render_type(spec) -%}\n    {%- if spec.type == 'array' -%}\n        {{ render_type(spec['items']) }}[]\n    {%- elif spec.enum is defined -%}\n        {{ spec.enum | map('tojson') | join(' | ') }}\n    {%- elif spec.type is iterable and spec.type is not string -%}\n        {{ spec.type | join(' | ') }}\n    {%- else -%}\n        {{ spec.type | default('any') }}\n    {%- endif -%}\n{%- endmacro -%}\n{%- for name, spec in schema.properties.items() -%}\n    {{ name }}{{ '?' if name not in schema.required }}: {{ render_type(spec) }}{{ ', ' if not loop.last }}\n{%- endfor -%}",
        "{%- set content = '<think>\\nplan\\n</think>\\n\\nanswer' -%}\n{%- if '</think>' in content -%}\n{%- set reasoning = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') -%}\n{%- set content = content.split('</think>')[-1].lstrip('\\n') -%}\n{%- endif -%}\n[{{ reasoning }}][{{ content }}]",
        "{{ bos_token if bos_token is defined else '' }}{{ messages | map(attribute='role') | join('/') }}{{ '<gen>' if add_generation_prompt }}",
        "{%- if tools is defined and tools is not none -%}T{%- endif -%}{%- if not tools %}none{% endif -%}",
        "{% set user_messages = messages | selectattr('role', 'equalto', 'user') | list %}{{ user_messages | length }}{% if messages | selectattr('role', 'equalto', 'nobody') | list %}x{% else %}nobody{% endif %}",
        "{%- for key, value in schema.properties | dictsort %}\n{{ key }}={{ value.type | upper }}{% if not loop.last %},{% endif %}\n{%- endfor %}",
        "{%- set role_names = {'user': 'Human', 'assistant': 'AI'} -%}{%- for m in messages -%}{{ role_names[m.role] or role_names.get(m.role, m.role | capitalize) }} {% endfor -%}",
        "{% set date = strftime_now('%d %b %Y') if strftime_now is defined else '26 Jul 2024' %}{{ date }}",
        "{%- for m in messages if m.role in ['user', 'assistant'] -%}{{ loop.index }}{{ m.role[0] | upper }}{{ ' ' if not loop.last }}{%- endfor -%}",
        "{{ messages[2].tool_calls[0].function.arguments.items() | list }} {% for k, v in messages[2].tool_calls[0].function.arguments | items %}{{ k }}:{{ v | string }};{% endfor %}",
        "{%- set last = messages[-1] -%}{{ last['content'] | selectattr('type', 'equalto', 'text') | map(attribute='text') | join('') }}",
        "{% set ns = namespace(is_first=true, out=[]) %}{% for m in messages %}{% if ns.is_first %}{% set ns.is_first = false %}{% else %}{% set ns.out = ns.out + [m.role] %}{% endif %}{% endfor %}{{ ns.out }}",
    ],
}


class GenerationTag(Extension):
    """Hugging Face marks the assistant's text with this tag; it renders its body."""

    tags = {"generation"}

    def parse(self, parser):
        lineno = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return nodes.CallBlock(self.call_method("_body"), [], [], body).set_lineno(lineno)

    def _body(self, caller):
        return caller()


def environment():
    def raise_exception(message):
        raise jinja2.exceptions.TemplateError(message)

    def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    env = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[GenerationTag, loopcontrols])
    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    env.globals["strftime_now"] = lambda form: NOW.strftime(form)
    return env


def outcome(env, source):
    try:
        return {"text": env.from_string(source).render(**VARS)}
    except Exception as error:  # whatever Python raises is an error of the template
        result = {"error": type(error).__name__}
        # The words of these are part of what templates and users see; other errors are worded by Python itself.
        if type(error) in (jinja2.exceptions.UndefinedError, jinja2.exceptions.TemplateError, jinja2.exceptions.SecurityError):
            result["message"] = str(error)
        return result


def snippets():
    for group, text in FLAT.items():
        source = ""
        for line in text.strip("\n").split("\n"):
            source = source + "\n" + line if source else line
            # A line that leaves a string or comment open goes on in the next one.
            if line.endswith("\\") or line.endswith("{# multi"):
                continue
            yield group, source
            source = ""
    for group, sources in TALL.items():
        for source in sources:
            yield group, source


WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city; \"now\" & <later>.",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string", "description": "Name,\nin any language: Zürich"},
                "days": {"type": "integer", "minimum": 1, "default": 3},
                "units": {"type": "string", "enum": ["c", "f"]},
                "near": {"type": "array", "items": {"type": "object", "properties": {"lat": {"type": "number"}}}},
                "flag": {"type": ["boolean", "null"]},
            },
            "required": ["city"],
        },
    },
}
EMPTY_TOOL = {"type": "function", "function": {"name": "now", "description": "", "parameters": {"type": "object", "properties": {}}}}


def call(number, name, arguments):
    return {"id": f"call{number:05d}", "type": "function", "function": {"name": name, "arguments": arguments}}


CHATS = {
    "question": {"messages": [{"role": "user", "content": "  Hello, <you> & 日本!\n"}]},
    "system": {"messages": [{"role": "system", "content": "Be kind and be brief, and mind the width. "}, {"role": "user", "content": "Hi"}]},
    "turns": {
        "messages": [
            {"role": "system", "content": "Sys !quiet"},
            {"role": "user", "content": "One"},
            {"role": "assistant", "content": "<think>\nhm\n</think>\n\nFirst."},
            {"role": "user", "content": "Two"},
            {"role": "assistant", "content": "Second.", "reasoning_content": " because "},
            {"role": "user", "content": "Three !loud"},
        ]
    },
    "answered": {"messages": [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}], "add_generation_prompt": False},
    "parts": {"messages": [{"role": "user", "content": [{"type": "text", "text": " Look: "}, {"type": "image"}, {"type": "text", "text": "?"}]}]},
    "tools": {"messages": [{"role": "user", "content": "Weather?"}], "tools": [WEATHER, EMPTY_TOOL]},
    "call": {
        "messages": [
            {"role": "system", "content": "S"},
            {"role": "user", "content": "Weather?"},
            {"role": "assistant", "content": "", "tool_calls": [call(1, "get_weather", {"city": "Zürich", "days": 2, "flag": None})]},
            {"role": "tool", "content": "7 degrees", "tool_call_id": "call00001", "name": "get_weather"},
        ],
        "tools": [WEATHER],
    },
    "parallel": {
        "messages": [
            {"role": "user", "content": "Both"},
            {
                "role": "assistant",
                "content": "Sure.",
                "reasoning_content": "two calls",
                "tool_calls": [call(1, "get_weather", {"city": "A", "near": [{"lat": 1.5}]}), call(2, "now", {})],
            },
            {"role": "tool", "content": "1", "tool_call_id": "call00001"},
            {"role": "tool", "content": "2", "tool_call_id": "call00002"},
            {"role": "assistant", "content": "Done", "tool_calls": None},
            {"role": "user", "content": "Thanks"},
        ],
        "tools": [WEATHER, EMPTY_TOOL],
    },
    "thinking_off": {"messages": [{"role": "user", "content": "2+2"}], "enable_thinking": False, "thinking": True},
    "documents": {
        "messages": [{"role": "user", "content": "Cite"}],
        "documents": [{"doc_id": 1, "text": "A rather long text about many well-known things, for wrapping."}, {"text": "Short."}],
        "dials": {"length": "short"},
    },
    "null_content": {"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": None}, {"role": "user", "content": "y"}]},
    "bad_order": {"messages": [{"role": "assistant", "content": "first"}, {"role": "robot", "content": "second"}]},
    "short_id": {
        "messages": [
            {"role": "user", "content": "x"},
            {"role": "assistant", "content": "", "tool_calls": [{"id": "7", "type": "function", "function": {"name": "now", "arguments": {}}}] * 3},
        ]
    },
}
TOKENS = {"bos_token": "<s>", "eos_token": "</s>"}


def write_chats(env, folder, provenance):
    """Renders the templates of chat_templates/ for every conversation above."""
    golden = {"provenance": provenance, "tokens": TOKENS, "inputs": CHATS, "templates": {}}
    for file in sorted(name for name in os.listdir(folder) if name.endswith(".jinja")):
        with open(os.path.join(folder, file), encoding="utf-8", newline="") as source:
            template = env.from_string(source.read())
        cases = golden["templates"][file] = {}
        for name, chat in CHATS.items():
            variables = {"tools": None, "documents": None, "add_generation_prompt": True, **TOKENS, **chat}
            try:
                cases[name] = {"text": template.render(**variables)}
            except jinja2.exceptions.TemplateError as error:
                cases[name] = {"error": str(error)}
            except Exception:  # worded by Python: any error will do
                cases[name] = {"error": ""}
    with open(os.path.join(folder, "golden.json"), "w", encoding="utf-8") as out:
        json.dump(golden, out, ensure_ascii=True, indent=1)
        out.write("\n")
    rendered = [case for cases in golden["templates"].values() for case in cases.values()]
    print(len(rendered), "renderings,", sum("error" in case for case in rendered), "of them errors")


def main():
    env = environment()
    cases = [{"group": group, "template": source, **outcome(env, source)} for group, source in snippets()]
    provenance = {
        "made_by": "tests/data/make_jinja_cases.py",
        "jinja2": jinja2.__version__,
        "python": platform.python_version(),
        "environment": "ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, loopcontrols, generation tag), "
        "tojson = json.dumps(ensure_ascii=False), raise_exception, strftime_now",
        "now": int(NOW.replace(tzinfo=datetime.timezone.utc).timestamp()),
    }
    document = {"provenance": provenance, "variables": VARS, "cases": cases}
    here = os.path.dirname(os.path.abspath(__file__))
    path = os.path.join(here, "jinja_cases.json")
    with open(path, "w", encoding="utf-8") as file:
        json.dump(document, file, ensure_ascii=True, indent=1)
        file.write("\n")
    print(len(cases), "cases,", sum("error" in case for case in cases), "of them errors")
    write_chats(env, os.path.join(here, "chat_templates"), provenance)


if __name__ == "__main__":
    main()
