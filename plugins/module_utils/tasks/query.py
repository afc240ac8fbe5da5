# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""JMESPath over a result, as the --query of cloud command lines."""

from __future__ import annotations

import re

from ansible_collections.talosops.talos.plugins.module_utils.api.errors import InputError

try:
    import jmespath
    from jmespath.exceptions import JMESPathError
except ImportError:
    jmespath = None
    JMESPathError = ValueError

_FUNCTION = re.compile(r'\b(\w+)\(\)')


def compiled(text):
    """A function that applies the expression to plain data. Raises InputError with the column of what is wrong."""
    if jmespath is None:
        raise InputError('The option query needs the Python package jmespath, which is missing on this host.', 'Install it: pip install jmespath')
    try:
        expression = jmespath.compile(text)
    except (JMESPathError, ValueError, RecursionError) as error:
        raise InputError(f'query is no JMESPath expression: {_reason(error, text)}') from None

    def apply(value):
        try:
            return expression.search(value)
        except (JMESPathError, TypeError, ValueError, RecursionError) as error:
            raise InputError(f'query could not be applied to the result: {_reason(error, text)}') from None

    return apply


def _reason(error, text):
    """What is wrong and where, in one sentence, without the picture that jmespath draws below it."""
    place = getattr(error, 'lex_position', None)
    if place is not None:
        token = getattr(error, 'token_value', None)
        what = error.message if 'Unclosed' in (getattr(error, 'message', None) or '') else f'unexpected "{token}"' if token else 'it ends too early'
        return f'{what.rstrip(":")} at column {place + 1}.'
    said = ' '.join(str(error).split()).rstrip('.')
    function = _FUNCTION.search(said)
    place = text.find(f'{function[1]}(') if function else -1
    return f'{said} (column {place + 1}).' if place >= 0 else f'{said}.'
