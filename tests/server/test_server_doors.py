from __future__ import annotations
import json
async def test_list(jp_fetch):
    answer = await jp_fetch("jupyterfut", "api", "clusters")
    assert json.loads(answer.body) == {"clusters": []}
