"""Writes 40 schemas of tool arguments as people and MCP servers write them: python3 tools.py > ../fixtures/tools.json

They are written by hand in the manner of well-known servers, with their habits: hints in descriptions, defaults,
`$schema` of zod-to-json-schema, missing `required`, closed and open objects.
"""

import json

DRAFT_7 = "http://json-schema.org/draft-07/schema#"


def text(description=None, **more):
    return {"type": "string", **({"description": description} if description else {}), **more}


def integer(**more):
    return {"type": "integer", **more}


def number(**more):
    return {"type": "number", **more}


def flag(**more):
    return {"type": "boolean", **more}


def many(items, **more):
    return {"type": "array", "items": items, **more}


def one_of(*values, **more):
    return {"type": "string", "enum": list(values), **more}


def tool(properties, required=(), **more):
    return {"type": "object", "properties": properties, **({"required": list(required)} if required else {}), **more}


def closed(properties, required=(), **more):
    return tool(properties, required, additionalProperties=False, **more)


def zod(properties, required=()):
    return closed(properties, required, **{"$schema": DRAFT_7})


LOCATION = tool({"latitude": number(minimum=-90, maximum=90), "longitude": number(minimum=-180, maximum=180)}, ["latitude", "longitude"])
ENTITY = tool({"name": text("The name of the entity"), "entityType": text(), "observations": many(text())}, ["name", "entityType", "observations"])

CASES = [
    ("filesystem read_file", zod({"path": text(), "tail": number(description="Last N lines"), "head": number()}, ["path"]), {"path": "/a", "head": 5}, {"head": 5}),
    ("filesystem read_multiple_files", zod({"paths": many(text(), minItems=1)}, ["paths"]), {"paths": ["/a", "/b"]}, {"paths": []}),
    ("filesystem edit_file", zod({"path": text(), "edits": many(closed({"oldText": text(), "newText": text()}, ["oldText", "newText"])), "dryRun": flag(default=False)}, ["path", "edits"]), {"path": "/a", "edits": [{"oldText": "x", "newText": "y"}], "dryRun": True}, {"path": "/a", "edits": [{"oldText": "x"}]}),
    ("filesystem search_files", zod({"path": text(), "pattern": text(), "excludePatterns": many(text(), default=[])}, ["path", "pattern"]), {"path": "/", "pattern": "*.ts", "excludePatterns": ["dist"]}, {"path": "/", "pattern": 1}),
    ("filesystem list_directory_with_sizes", zod({"path": text(), "sortBy": one_of("name", "size", default="name")}, ["path"]), {"path": "/", "sortBy": "size"}, {"path": "/", "sortBy": "date"}),
    ("git log", tool({"repo_path": text(title="Repo Path"), "max_count": integer(default=10, title="Max Count"), "start_timestamp": {"anyOf": [text(), {"type": "null"}], "default": None, "title": "Start Timestamp"}}, ["repo_path"], title="GitLog"), {"repo_path": ".", "max_count": 3, "start_timestamp": None}, {"repo_path": ".", "start_timestamp": 3}),
    ("git add", tool({"repo_path": text(), "files": many(text())}, ["repo_path", "files"], title="GitAdd"), {"repo_path": ".", "files": ["a.ts"]}, {"repo_path": ".", "files": "a.ts"}),
    ("github create_issue", zod({"owner": text(), "repo": text(), "title": text(), "body": text(), "assignees": many(text()), "milestone": number(), "labels": many(text())}, ["owner", "repo", "title"]), {"owner": "o", "repo": "r", "title": "t", "labels": ["bug"]}, {"owner": "o", "repo": "r", "title": "t", "unknown": 1}),
    ("github search_repositories", tool({"query": text(), "page": number(minimum=1), "perPage": number(minimum=1, maximum=100)}, ["query"]), {"query": "grammar", "perPage": 100}, {"query": "grammar", "perPage": 101}),
    ("github create_pull_request_review", zod({"owner": text(), "repo": text(), "pull_number": number(), "commit_id": text(), "body": text(), "event": one_of("APPROVE", "REQUEST_CHANGES", "COMMENT"), "comments": many({"anyOf": [closed({"path": text(), "position": number(), "body": text()}, ["path", "position", "body"]), closed({"path": text(), "line": number(), "body": text()}, ["path", "line", "body"])]})}, ["owner", "repo", "pull_number", "body", "event"]), {"owner": "o", "repo": "r", "pull_number": 1, "body": "b", "event": "COMMENT", "comments": [{"path": "a", "line": 3, "body": "c"}]}, {"owner": "o", "repo": "r", "pull_number": 1, "body": "b", "event": "COMMENT", "comments": [{"path": "a", "body": "c"}]}),
    ("github push_files", zod({"owner": text(), "repo": text(), "branch": text(), "files": many(closed({"path": text(), "content": text()}, ["path", "content"])), "message": text()}, ["owner", "repo", "branch", "files", "message"]), {"owner": "o", "repo": "r", "branch": "main", "files": [{"path": "a", "content": "b"}], "message": "m"}, {"owner": "o", "repo": "r", "branch": "main", "files": [{}], "message": "m"}),
    ("gitlab update_issue", tool({"project_id": {"type": ["string", "number"]}, "issue_iid": integer(), "state_event": one_of("close", "reopen"), "weight": {"type": ["integer", "null"], "minimum": 0}}, ["project_id", "issue_iid"]), {"project_id": 7, "issue_iid": 1, "weight": None}, {"project_id": True, "issue_iid": 1}),
    ("slack post_message", tool({"channel_id": text(pattern="^[CGD][A-Z0-9]{8,}$"), "text": text(maxLength=4000)}, ["channel_id", "text"]), {"channel_id": "C012AB3CD", "text": "Hi"}, {"channel_id": "general", "text": "Hi"}),
    ("slack list_channels", tool({"limit": number(default=100, maximum=200), "cursor": text()}), {"limit": 200}, {"limit": 201}),
    ("slack add_reaction", tool({"channel_id": text(), "timestamp": text("In the format 1234567890.123456", pattern=r"^\d{10}\.\d{6}$"), "reaction": text()}, ["channel_id", "timestamp", "reaction"]), {"channel_id": "C1", "timestamp": "1234567890.123456", "reaction": "eyes"}, {"channel_id": "C1", "timestamp": "12", "reaction": "eyes"}),
    ("browser navigate", closed({"url": text(format="uri"), "launchOptions": {"type": "object", "description": "Options of the browser"}, "allowDangerous": flag()}, ["url"]), {"url": "https://example.com/", "launchOptions": {"headless": True}}, {"url": "https://example.com/", "launchOptions": True}),
    ("browser click", zod({"element": text(), "ref": text(), "doubleClick": flag(), "button": one_of("left", "right", "middle"), "modifiers": many(one_of("Alt", "Control", "Meta", "Shift"))}, ["element", "ref"]), {"element": "OK", "ref": "e1", "button": "left", "modifiers": ["Alt"]}, {"element": "OK", "ref": "e1", "button": "up"}),
    ("browser fill_form", zod({"fields": many(closed({"name": text(), "type": one_of("textbox", "checkbox", "radio", "combobox", "slider"), "ref": text(), "value": text()}, ["name", "type", "ref", "value"]))}, ["fields"]), {"fields": [{"name": "n", "type": "radio", "ref": "e", "value": "v"}]}, {"fields": [{"name": "n", "type": "file", "ref": "e", "value": "v"}]}),
    ("browser screenshot", tool({"name": text(), "selector": text(), "width": number(default=800), "height": number(default=600), "encoded": flag()}, ["name"]), {"name": "s", "width": 1}, {"width": 1}),
    ("computer action", {"type": "object", "properties": {"action": one_of("key", "type", "mouse_move", "left_click", "screenshot", "scroll"), "coordinate": many(integer(), minItems=2, maxItems=2), "text": text(), "scroll_direction": one_of("up", "down")}, "required": ["action"], "allOf": [{"if": {"properties": {"action": {"enum": ["key", "type"]}}}, "then": {"required": ["text"]}}, {"if": {"properties": {"action": {"const": "mouse_move"}}}, "then": {"required": ["coordinate"]}}]}, {"action": "type", "text": "a"}, {"action": "mouse_move", "text": "a"}),
    ("database query", tool({"sql": text("A SELECT query", pattern=r"^\s*[Ss][Ee][Ll][Ee][Cc][Tt]\b"), "params": many({"type": ["string", "number", "boolean", "null"]})}, ["sql"]), {"sql": "SELECT 1", "params": [1, None]}, {"sql": "DROP TABLE a"}),
    ("database insert", tool({"table": text(pattern="^[a-z_][a-z0-9_]*$"), "rows": many({"type": "object", "minProperties": 1, "additionalProperties": {"type": ["string", "number", "boolean", "null"]}}, minItems=1)}, ["table", "rows"]), {"table": "users", "rows": [{"id": 1, "name": None}]}, {"table": "users", "rows": [{}]}),
    ("mongodb aggregate", tool({"collection": text(), "pipeline": many({"type": "object", "minProperties": 1, "maxProperties": 1, "patternProperties": {r"^\$": {}}, "additionalProperties": False})}, ["collection", "pipeline"]), {"collection": "c", "pipeline": [{"$match": {"a": 1}}]}, {"collection": "c", "pipeline": [{"match": {"a": 1}}]}),
    ("redis set", tool({"key": text(), "value": text(), "expireSeconds": number()}, ["key", "value"]), {"key": "a", "value": "b", "expireSeconds": 60}, {"key": "a", "value": 1}),
    ("maps geocode", tool({"address": text()}, ["address"]), {"address": "Paris"}, {}),
    ("maps distance_matrix", tool({"origins": many(text()), "destinations": many(text()), "mode": one_of("driving", "walking", "bicycling", "transit")}, ["origins", "destinations"]), {"origins": ["A"], "destinations": ["B"], "mode": "transit"}, {"origins": ["A"]}),
    ("maps search_places", tool({"query": text(), "location": LOCATION, "radius": number(exclusiveMinimum=0, maximum=50000)}, ["query"]), {"query": "cafe", "location": {"latitude": 47.5, "longitude": 8.5}, "radius": 500}, {"query": "cafe", "location": {"latitude": 91, "longitude": 8.5}}),
    ("memory create_entities", tool({"entities": many(ENTITY)}, ["entities"]), {"entities": [{"name": "a", "entityType": "b", "observations": ["c"]}]}, {"entities": [{"name": "a"}]}),
    ("memory create_relations", tool({"relations": many(tool({"from": text(), "to": text(), "relationType": text("In active voice")}, ["from", "to", "relationType"]))}, ["relations"]), {"relations": [{"from": "a", "to": "b", "relationType": "knows"}]}, {"relations": [{"from": "a", "relationType": "knows"}]}),
    ("sequential thinking", tool({"thought": text(), "nextThoughtNeeded": flag(), "thoughtNumber": integer(minimum=1), "totalThoughts": integer(minimum=1), "isRevision": flag(), "branchId": text()}, ["thought", "nextThoughtNeeded", "thoughtNumber", "totalThoughts"]), {"thought": "a", "nextThoughtNeeded": False, "thoughtNumber": 1, "totalThoughts": 2}, {"thought": "a", "nextThoughtNeeded": False, "thoughtNumber": 0, "totalThoughts": 2}),
    ("time convert", tool({"source_timezone": text("IANA name, such as 'Europe/London'"), "time": text("24-hour format (HH:MM)", pattern="^([01][0-9]|2[0-3]):[0-5][0-9]$"), "target_timezone": text()}, ["source_timezone", "time", "target_timezone"]), {"source_timezone": "UTC", "time": "23:59", "target_timezone": "Asia/Tokyo"}, {"source_timezone": "UTC", "time": "24:00", "target_timezone": "Asia/Tokyo"}),
    ("calendar create_event", tool({"summary": text(), "start": tool({"dateTime": text(format="date-time"), "timeZone": text()}, ["dateTime"]), "end": tool({"dateTime": text(format="date-time"), "timeZone": text()}, ["dateTime"]), "attendees": many(tool({"email": text(format="email"), "optional": flag()}, ["email"])), "recurrence": many(text(pattern="^RRULE:"))}, ["summary", "start", "end"]), {"summary": "Call", "start": {"dateTime": "2026-01-02T10:00:00Z"}, "end": {"dateTime": "2026-01-02T11:00:00Z"}, "attendees": [{"email": "a@example.com"}]}, {"summary": "Call", "start": {"dateTime": "2026-01-02T10:00:00Z"}, "end": {}}),
    ("fetch", tool({"url": text(description="URL to fetch", format="uri", minLength=1, title="Url"), "max_length": integer(default=5000, exclusiveMinimum=0, exclusiveMaximum=1000000, title="Max Length"), "start_index": integer(default=0, minimum=0), "raw": flag(default=False)}, ["url"], title="Fetch"), {"url": "https://example.com", "max_length": 100}, {"url": "https://example.com", "max_length": 0}),
    ("web search", tool({"query": text(maxLength=400), "count": number(minimum=1, maximum=20, default=10), "freshness": {"type": ["string", "null"], "enum": ["pd", "pw", "pm", None]}}, ["query"]), {"query": "a", "freshness": None}, {"query": "a", "freshness": "py"}),
    ("get_current_weather", tool({"location": text("The city and state, e.g. San Francisco, CA"), "format": one_of("celsius", "fahrenheit", description="Infer this from the user's location.")}, ["location", "format"]), {"location": "Paris", "format": "celsius"}, {"location": "Paris", "format": "kelvin"}),
    ("get_n_day_weather_forecast, strict", closed({"location": text(), "unit": {"type": ["string", "null"], "enum": ["c", "f", None]}, "days": integer()}, ["location", "unit", "days"]), {"location": "Paris", "unit": None, "days": 3}, {"location": "Paris", "days": 3}),
    ("no arguments", {"type": "object", "properties": {}}, {}, []),
    ("no arguments, strict", {"type": "object", "properties": {}, "additionalProperties": False, "required": []}, {}, {"a": 1}),
    ("ui components, strict", closed({"type": one_of("div", "button", "form"), "label": text(), "children": many({"$ref": "#"}), "attributes": many(closed({"name": text(), "value": text()}, ["name", "value"]))}, ["type", "label", "children", "attributes"]), {"type": "div", "label": "a", "children": [{"type": "button", "label": "b", "children": [], "attributes": []}], "attributes": []}, {"type": "div", "label": "a", "children": [{"type": "button"}], "attributes": []}),
    ("email send", tool({"to": {"oneOf": [text(format="email"), many(text(format="email"), minItems=1)]}, "subject": text(), "body": text(), "attachments": many(tool({"filename": text(), "content": text(contentEncoding="base64")}, ["filename", "content"])), "priority": integer(minimum=1, maximum=5, default=3)}, ["to", "subject", "body"]), {"to": ["a@example.com"], "subject": "s", "body": "b"}, {"to": [], "subject": "s", "body": "b"}),
]

if __name__ == "__main__":
    assert len(CASES) == 40
    print(json.dumps([dict(zip(("name", "schema", "valid", "invalid"), case)) for case in CASES], indent=2))
