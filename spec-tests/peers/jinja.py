"""Renders chat templates as Hugging Face does, with Jinja: one JSON object a line, {template, variables, date}, to
{"text": …} or {"error": …}. Needs the Python packages jinja2 and transformers."""

import datetime
import json
import signal
import sys

from transformers.utils import chat_template_utils


class FixedDatetime(datetime.datetime):
    date = "2000-01-01"

    @classmethod
    def now(cls, tz=None):
        return cls.fromisoformat(cls.date)


def stop(*_):
    raise TimeoutError("it takes more than two seconds")


def render(case):
    FixedDatetime.date = case["date"]
    signal.alarm(2)
    try:
        text = chat_template_utils._compile_jinja_template(case["template"]).render(**case["variables"])
        text.encode()
        return {"text": text}
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}
    finally:
        signal.alarm(0)


chat_template_utils.datetime = FixedDatetime
signal.signal(signal.SIGALRM, stop)
sys.set_int_max_str_digits(0)
for line in sys.stdin:
    print(json.dumps(render(json.loads(line))), flush=True)
