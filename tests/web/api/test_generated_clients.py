"""Clients generated from the API's description by two generators work against a live server, with types.

openapi-python-client (Python) and openapi-typescript with openapi-fetch (TypeScript, checked by tsc).
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from werkzeug.serving import make_server

from app.web.settings.picklist_rest import PICKLIST_RESOURCES
from tests.app_fixtures import Crm

#: Picklists that are left out.
ALIKE = {each.resource_name for each in PICKLIST_RESOURCES} - {"lead_status"}
_SCHEMA = re.compile(r'"#/components/schemas/(\w+)"')
ROOT = Path(__file__).parents[3]
NODE = ROOT / "node_modules"

PYTHON = """
import json
import sys

from crm_client import AuthenticatedClient
from crm_client.api.lead_resource import lead_get, lead_get_list, lead_post, lead_put
from crm_client.models import Error, LeadChange, LeadCreate, LeadGetListFilterCategory
from crm_client.models import LeadGetListOrderColumn, LeadGetListOrderDirection

url, key, first = sys.argv[1:]
client = AuthenticatedClient(base_url=url, token=key, prefix="token")
listed = lead_get_list.sync_detailed(
    client=client,
    page_size=1,
    order_column=LeadGetListOrderColumn.CREATED_ON,
    order_direction=LeadGetListOrderDirection.ASC,
    filter_category=LeadGetListFilterCategory.DIRECT,
    filter_last_name_not_null=True,
    filter_first_name_in=["Asha", "Bela"],
)
assert listed.status_code == 200, listed.content
assert [row.first_name for row in listed.parsed.result] == ["Asha"], listed.content
assert listed.parsed.count == 2 and str(listed.parsed.result[0].id) == first

made = lead_post.sync_detailed(
    client=client, body=LeadCreate(first_name="Chand", mobile="98200 77777"), idempotency_key="made-once"
)
assert made.status_code == 201 and made.parsed.result.first_name == "Chand", made.content
tag, lead_id = made.headers["ETag"], made.parsed.id
# A compressed answer has its encoding behind a colon.
read = lead_get.sync_detailed(lead_id, client=client).headers["ETag"]
assert read.strip('"').partition(":")[0] == tag.strip('"').partition(":")[0]

changed = lead_put.sync_detailed(lead_id, client=client, body=LeadChange(last_name="Rao"), if_match=tag)
assert changed.status_code == 200 and changed.parsed.result.last_name == "Rao", changed.content
assert changed.headers["ETag"] not in ("", tag)
again = lead_put.sync_detailed(lead_id, client=client, body=LeadChange(last_name="Late"), if_match=tag)
assert again.status_code == 412 and isinstance(again.parsed, Error) and again.parsed.message
wrong = lead_post.sync_detailed(client=client, body=LeadCreate(first_name="x" * 81))
assert wrong.status_code == 422 and isinstance(wrong.parsed, Error)
assert "first_name" in wrong.parsed.errors.additional_properties
stranger = AuthenticatedClient(base_url=url, token="no:no", prefix="token")
refused = lead_get_list.sync_detailed(client=stranger)
assert refused.status_code == 401 and isinstance(refused.parsed, Error), refused.content
"""

TYPESCRIPT = """
import createClient from 'openapi-fetch';
import type { components, paths } from './schema.js';

const [url, key, first] = process.argv.slice(2);
const client = createClient<paths>({ baseUrl: url, headers: { Authorization: `token ${key}` } });
function must(held: unknown, what: unknown): asserts held { if (!held) throw new Error(JSON.stringify(what)); }

const listed = await client.GET('/api/v1/lead/', { params: { query: {
  page_size: 1, order_column: 'created_on', order_direction: 'asc', 'filter.category': 'Direct',
  'filter.last_name.not_null': true, 'filter.first_name.in': ['Asha', 'Bela'],
} } });
must(listed.data?.result[0]?.first_name === 'Asha' && listed.data.count === 2, listed);
must(String(listed.data.result[0].id) === first, listed);

const made = await client.POST('/api/v1/lead/', { body: { first_name: 'Dev', mobile: '98200 88888' } });
must(made.data?.result?.first_name === 'Dev', made.error);
const tag = made.response.headers.get('ETag');
must(tag, made);
const pk = made.data.id;
const changed = await client.PUT('/api/v1/lead/{pk}', {
  params: { path: { pk }, header: { 'If-Match': tag } }, body: { last_name: 'Rao' } });
must(changed.data?.result?.last_name === 'Rao' && changed.response.headers.get('ETag') !== tag, changed);
const again = await client.PUT('/api/v1/lead/{pk}', {
  params: { path: { pk }, header: { 'If-Match': tag } }, body: { last_name: 'Late' } });
must(again.response.status === 412, again.response.status);
const error: components['schemas']['Error'] | undefined = again.error;
must(error?.message, error);
const wrong = await client.POST('/api/v1/lead/', { body: { first_name: 'x'.repeat(81) } });
must(wrong.response.status === 422 && wrong.error?.errors.first_name?.[0], wrong.error);
const refused = await client.GET('/api/v1/lead/', { headers: { Authorization: 'token no:no' } });
must(refused.response.status === 401 && refused.error?.message, refused.error);
"""


@pytest.fixture
def server(crm: Crm) -> Iterator[str]:
    """The product on a free port, with two leads of Ana."""
    crm.make.lead("ana", first_name="Asha", last_name="Rao")
    crm.make.lead("ana", first_name="Bela", last_name="Shah")
    crm.make.lead("ana", first_name="Asha", last_name=None)
    live = make_server("127.0.0.1", 0, crm.app, threaded=True)
    thread = threading.Thread(target=live.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{live.server_port}"
    live.shutdown()
    thread.join()
    live.server_close()


@pytest.fixture
def described(crm: Crm, tmp_path: Path) -> Path:
    """The description as a file, with one picklist: the others are declared alike, and generating them takes long."""
    spec = crm.client("ana").rest("GET", "/api/v1/_openapi").json
    spec["paths"] = {path: told for path, told in spec["paths"].items() if path.split("/")[3] not in ALIKE}
    kept: dict[str, Any] = {}
    names = set(_SCHEMA.findall(json.dumps({**spec, "components": {**spec["components"], "schemas": {}}})))
    while names:
        kept |= {name: spec["components"]["schemas"][name] for name in names}
        names = set(_SCHEMA.findall(json.dumps(kept))) - kept.keys()
    spec["components"]["schemas"] = dict(sorted(kept.items()))
    path = tmp_path / "openapi.json"
    path.write_text(json.dumps(spec))
    return path


def run(*command: Any, cwd: Path, **environ: str) -> str:
    done = subprocess.run([*map(str, command)], cwd=cwd, capture_output=True, text=True, env=os.environ | environ)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


def first_lead(crm: Crm) -> int:
    return int(crm.client("ana").rest("GET", "lead/?order_direction=asc&page_size=1").json["ids"][0])


def test_a_python_client(crm: Crm, server: str, described: Path, tmp_path: Path) -> None:
    (tmp_path / "config.yml").write_text("post_hooks: []\npackage_name_override: crm_client\n")
    target = ("--output-path", tmp_path / "crm_client", "--meta", "none", "--config", tmp_path / "config.yml")
    told = run(sys.executable, "-m", "openapi_python_client", "generate", "--path", described, *target, cwd=tmp_path)
    assert "WARNING" not in told.upper(), told
    (tmp_path / "use.py").write_text(PYTHON)
    run(sys.executable, "-W", "error", "use.py", server, "keyana:secret-ana", first_lead(crm), cwd=tmp_path)


def test_a_typescript_client(crm: Crm, server: str, described: Path, tmp_path: Path) -> None:
    (tmp_path / "node_modules").symlink_to(NODE)
    (tmp_path / "package.json").write_text('{"type": "module"}')
    # The description is checked; the declarations of the browser and of libraries take seconds, and are not ours.
    node_types = {"strict": True, "module": "nodenext", "target": "es2022", "lib": ["es2022", "dom", "dom.iterable"]}
    (tmp_path / "node.d.ts").write_text("declare const process: { argv: string[] };\n")
    options = {
        "compilerOptions": node_types | {"types": [], "outDir": "out", "skipLibCheck": True},
        "files": ["use.ts", "node.d.ts"],
    }
    (tmp_path / "tsconfig.json").write_text(json.dumps(options))
    run("node", NODE / "openapi-typescript" / "bin" / "cli.js", described, "-o", "schema.ts", cwd=tmp_path)
    (tmp_path / "use.ts").write_text(TYPESCRIPT)
    run("node", NODE / "typescript" / "bin" / "tsc", "-p", ".", cwd=tmp_path)
    run("node", "out/use.js", server, "keyana:secret-ana", first_lead(crm), cwd=tmp_path)
