"""The control API: data, keys, trouble and journal of a running fake, as JSON over HTTP on its own port.

It has no authentication: let it listen where only tests can reach it.
"""

from collections.abc import Awaitable, Callable
from typing import Any

import orjson
from aiohttp import web
from pydantic import TypeAdapter

from fakeecs.changes import Change
from fakeecs.data import Image, Key
from fakeecs.listener import http_url
from fakeecs.loading import BadData, check, decode, parse, record, spelled_out
from fakeecs.server import FakeEcs
from fakeecs.trouble import Fault, MinuteWindow

_FAULT = TypeAdapter(Fault)
_WINDOW = TypeAdapter(MinuteWindow)
_CHANGE = TypeAdapter(Change)
_IMAGE = TypeAdapter(Image)
_KEY = TypeAdapter(Key)

LARGEST_BODY = 64 * 1024 * 1024
"""Bytes of a request: more than all of the data that `GET /data` gives."""


class Control:
    """Serves the control API of a fake, in the same event loop."""

    def __init__(self, fake: FakeEcs, host: str, port: int) -> None:
        self._fake = fake
        self._app = web.Application(middlewares=[_explain], client_max_size=LARGEST_BODY)
        self._app.add_routes(
            [
                web.get("/", self._index),
                web.get("/data", self._get_data),
                web.put("/data", self._put_data),
                web.get("/images/{region}/{image}", self._get_image),
                web.put("/images/{region}/{image}", self._put_image),
                web.delete("/images/{region}/{image}", self._delete_image),
                web.put("/keys/{key}", self._put_key),
                web.delete("/keys/{key}", self._delete_key),
                web.get("/faults", self._get_faults),
                web.post("/faults", self._post_fault),
                web.delete("/faults", self._clear_faults),
                web.delete("/faults/{number}", self._delete_fault),
                web.get("/changes", self._get_changes),
                web.post("/changes", self._post_change),
                web.delete("/changes", self._clear_changes),
                web.get("/journal", self._get_journal),
                web.delete("/journal", self._clear_journal),
            ]
        )
        self._runner = web.AppRunner(self._app, access_log=None, shutdown_timeout=1.0)
        self._host = host
        self._port = port

    @property
    def url(self) -> str:
        """Where the API is found."""
        return http_url(self._host, self._port)

    async def start(self) -> None:
        """Listen; port 0 picks one.

        Raises:
            OSError: The address cannot be had.
        """
        await self._runner.setup()
        await web.TCPSite(self._runner, self._host, self._port).start()
        self._port = self._runner.addresses[0][1]

    async def close(self) -> None:
        """Stop listening."""
        await self._runner.cleanup()

    async def _index(self, _: web.Request) -> web.Response:
        lines = {f"{route.method} {_path(route)}" for route in self._app.router.routes()}
        return web.Response(text="".join(f"{line}\n" for line in sorted(lines) if line[:4] != "HEAD"))

    async def _get_data(self, _: web.Request) -> web.Response:
        regions = {region: list(images.values()) for region, images in self._fake.data.regions.items()}
        return _answer({"regions": regions})

    async def _put_data(self, request: web.Request) -> web.Response:
        self._fake.data = data = parse(await _body(request))
        self._fake.keys.update(data.keys)
        return _answer({"regions": len(data.regions)})

    async def _get_image(self, request: web.Request) -> web.Response:
        return _answer(self._fake.image(*_names(request)))

    async def _put_image(self, request: web.Request) -> web.Response:
        region, image_id = _names(request)
        body = spelled_out(await _body(request), "image")
        image = record(_IMAGE, {**body, "image_id": image_id} if isinstance(body, dict) else body, "image")
        check(image, "image")
        self._fake.add_image(region, image)
        return _answer(image)

    async def _delete_image(self, request: web.Request) -> web.Response:
        region, image_id = _names(request)
        return _answer(self._fake.data.regions[region].pop(image_id))

    async def _put_key(self, request: web.Request) -> web.Response:
        key_id = request.match_info["key"]
        self._fake.keys[key_id] = record(_KEY, await _body(request), "key")
        return _answer({"keys": sorted(self._fake.keys)})

    async def _delete_key(self, request: web.Request) -> web.Response:
        del self._fake.keys[request.match_info["key"]]
        return _answer({"keys": sorted(self._fake.keys)})

    async def _get_faults(self, _: web.Request) -> web.Response:
        return _answer(self._fake.faults.rules())

    async def _post_fault(self, request: web.Request) -> web.Response:
        body = await _body(request)
        windowed = isinstance(body, dict) and "limit" in body
        rule = record(_WINDOW, body, "window") if windowed else record(_FAULT, body, "fault")
        return _answer({"number": self._fake.faults.add(rule)}, status=201)

    async def _delete_fault(self, request: web.Request) -> web.Response:
        self._fake.faults.remove(_number(request.match_info["number"], "the number of a fault"))
        return _answer(self._fake.faults.rules())

    async def _clear_faults(self, _: web.Request) -> web.Response:
        self._fake.faults.clear()
        return _answer({})

    async def _get_changes(self, _: web.Request) -> web.Response:
        return _answer(self._fake.changes.planned)

    async def _post_change(self, request: web.Request) -> web.Response:
        self._fake.changes.add(record(_CHANGE, await _body(request), "change"))
        return _answer(self._fake.changes.planned, status=201)

    async def _clear_changes(self, _: web.Request) -> web.Response:
        self._fake.changes.clear()
        return _answer([])

    async def _get_journal(self, request: web.Request) -> web.Response:
        journal = self._fake.journal
        last = _number(request.query.get("last", str(len(journal))), "last")
        return _answer(journal[max(len(journal) - last, 0) :])

    async def _clear_journal(self, _: web.Request) -> web.Response:
        self._fake.journal.clear()
        return _answer([])


@web.middleware
async def _explain(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    try:
        return await handler(request)
    except BadData as error:
        return _answer({"error": str(error)}, status=400)
    except KeyError as error:
        return _answer({"error": f"there is no {error.args[0]}"}, status=404)
    except (web.HTTPNotFound, web.HTTPMethodNotAllowed) as error:
        return _answer({"error": f"{error.reason}; GET / lists what there is"}, status=error.status)


async def _body(request: web.Request) -> Any:
    return decode(await request.read())


def _answer(value: Any, *, status: int = 200) -> web.Response:
    body = orjson.dumps(value, default=_text, option=orjson.OPT_NON_STR_KEYS | orjson.OPT_INDENT_2)
    return web.Response(body=body + b"\n", status=status, content_type="application/json")


def _text(value: Any) -> str:
    if isinstance(value, bytes):  # the body of a fault
        return value.decode("latin-1")
    raise TypeError


def _names(request: web.Request) -> tuple[str, str]:
    return request.match_info["region"], request.match_info["image"]


def _number(text: str, where: str) -> int:
    if not (text.isascii() and text.isdecimal()):
        raise BadData(f"{where}: {text!r} is not a number")
    return int(text)


def _path(route: web.AbstractRoute) -> str:
    return route.resource.canonical if route.resource is not None else ""
