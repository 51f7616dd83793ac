"""dask's collections (delayed, bag, array, dataframe) on jupyterfut, without `dask.distributed`.

`offer` puts an object into dask's configuration, as the default of its setting "scheduler", which is where `dask.compute` and `dask.persist` look
first. The object finds the client at hand at the moment it is asked: of the task, of the innermost `as_current()` block, or the default one. Where
there is none it is false, and dask goes on as if it were not there. So clients come and go, nest, and live in threads and tasks side by side, and
nothing has to be set or restored for it. What a user sets (`dask.config.set(scheduler="threads")`, `compute(scheduler=...)`) wins over a default.

`plugins` calls `offer` when dask is imported and there is a client in the process, in whichever order, and `withdraw` after the last client.
"""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Callable, Generator, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from jupyterfut.client.current import get_client
from jupyterfut.client.futures import Future, futures_of
from jupyterfut.client.submit import make_options
from jupyterfut.client.waiting import wait
from jupyterfut.wire.messages import TaskOptions

if TYPE_CHECKING:
    from jupyterfut.client.client import Client


class AtHand:
    """dask's scheduler, while there is a client: whichever is at hand."""

    def __bool__(self) -> bool:
        try:
            get_client()
        except ValueError:
            return False
        return True

    def __call__(self, graph: Any, keys: Any, **options: Any) -> Any:
        """What dask calls a scheduler with: the values of the keys. Blocks."""
        client = get_client()
        if client.asynchronous:
            return _fall_back()(graph, keys, **options)
        return client.get(graph, keys, **options)

    def persist(self, collections: Any, **options: Any) -> Any:
        """What `dask.persist` calls, where a scheduler has it: does not wait."""
        return get_client().persist(collections, **options)

    def __repr__(self) -> str:
        return "<jupyterfut: the client at hand>"

    def __reduce__(self) -> str:
        return "at_hand"


class Shuffle(str):
    """dask's name of a way to shuffle dataframes, of a class of its own, so that `withdraw` knows ours from what a user has set."""

    __slots__ = ()


at_hand = AtHand()
by_tasks = Shuffle("tasks")  # dask's own choice without distributed is "disk", which needs all workers to see the same files
_DEFAULTS = {"scheduler": at_hand, "dataframe": {"shuffle": {"method": by_tasks}}}


def _fall_back() -> Callable[..., Any]:
    """As dask does for an asynchronous client of its own."""
    import dask

    other = dask.config.get("admin.async-client-fallback", None)
    if not other:
        raise RuntimeError(
            "dask.compute would block the loop of this asynchronous client: use 'await client.gather(client.compute(...))', or set dask's "
            "'admin.async-client-fallback'"
        )
    warnings.warn(f"the client at hand is asynchronous: dask falls back to its {other!r} scheduler", UserWarning, stacklevel=4)
    scheduler: Callable[..., Any] = dask.base.get_scheduler(scheduler=other)
    return scheduler


_dask_await: Any = None
TOO_OLD = "dask's collections run on jupyterfut from dask 2026.3 on, where dask knows other schedulers' futures; this one is older"


def _is_known() -> bool:
    return hasattr(sys.modules.get("dask._task_spec"), "_is_dask_future")


def offer() -> None:
    """dask is imported, and there is a client: be its default. Idempotent. (The modules are taken as they stand: this may run while another thread
    is inside `import dask`, and must not wait for it.)"""
    global _dask_await
    if not _is_known():
        logging.getLogger("jupyterfut").warning(TOO_OLD)
    elif _dask_await is None:
        sys.modules["dask.config"].update_defaults(_DEFAULTS)
        mixin = sys.modules["dask.base"].DaskMethodsMixin
        _dask_await = mixin.__await__
        mixin.__await__ = _await


def withdraw() -> None:
    """There is no client any more: leave dask as it was. Idempotent."""
    global _dask_await
    if _dask_await is not None:
        config = sys.modules["dask.config"]
        config.defaults[:] = [one for one in config.defaults if one is not _DEFAULTS]
        if config.config.get("scheduler") is at_hand:
            del config.config["scheduler"]
        shuffle = config.config.get("dataframe", {}).get("shuffle", {})
        if shuffle.get("method") is by_tasks:
            shuffle["method"] = None
        mixin = sys.modules["dask.base"].DaskMethodsMixin
        if mixin.__await__ is _await:
            mixin.__await__ = _dask_await
        _dask_await = None


def _await(collection: Any) -> Generator[Any, None, Any]:
    """`await collection`: until its futures are done, as with dask.distributed. dask itself would ask for distributed to be installed."""
    futures = futures_of(collection)
    if not futures and _dask_await is not None:
        return _dask_await(collection)  # type: ignore[no-any-return]  # dask has no types
    return _until_done(collection, futures).__await__()


async def _until_done(collection: Any, futures: list[Future]) -> Any:
    client = futures[0].client
    if client.asynchronous:
        await wait(futures)
    else:
        await client._gathering.until_done_async([future._record for future in futures], None)
    return collection


# --- what `Client.compute`, `persist` and `get` do


def compute(client: Client, collections: Any, sync: bool, optimize_graph: bool, traverse: bool, options: TaskOptions, more: dict[str, Any]) -> Any:
    """Futures (`sync`: values) in the places of collections; everything else stays what it is."""
    import dask

    _check()
    from dask._expr import FinalizeCompute
    from dask.base import collections_to_expr
    from dask.core import flatten

    single = not isinstance(collections, (list, tuple, set, frozenset))
    items = [collections] if single else list(collections)
    if traverse:
        items = [dask.delayed(item) if isinstance(item, (list, set, tuple, dict, Iterator)) else item for item in items]
    wanted = [item for item in items if dask.is_dask_collection(item)]
    futures: dict[Any, Future] = {}
    found: Iterator[Future] = iter(())
    if wanted:
        expression = FinalizeCompute(collections_to_expr(wanted, optimize_graph, **more)).optimize()
        keys = list(flatten(expression.__dask_keys__()))
        futures = _submit(client, expression, keys, options)
        found = iter([futures[key] for key in keys])
    results = [next(found) if dask.is_dask_collection(item) else item for item in items]
    answer = results[0] if single else results
    return _values(client, answer, list(futures.values())) if sync else answer


def persist(client: Client, collections: Any, optimize_graph: bool, options: TaskOptions) -> Any:
    """The same collections, made of futures."""
    import dask

    _check()
    from dask.base import collections_to_expr
    from dask.core import flatten

    single = not isinstance(collections, (list, tuple, set, frozenset))
    items = [collections] if single else list(collections)
    for item in items:
        if not dask.is_dask_collection(item):
            raise TypeError(f"persist takes dask collections, not {type(item).__name__} {item!r}"[:500])
    if not items:
        return []
    expression = collections_to_expr(items, optimize_graph).optimize()
    keys = [list(flatten(one)) for one in expression.__dask_keys__()]
    futures = _submit(client, expression, [key for some in keys for key in some], options)
    results = []
    for item, some in zip(items, keys, strict=True):
        rebuild, state = item.__dask_postpersist__()
        results.append(rebuild({key: futures[key] for key in some}, *state))
    return results[0] if single else results


def get(client: Client, graph: Any, keys: Any, sync: bool, options: TaskOptions) -> Any:
    """Futures (`sync`: values) in the shape of `keys`: one key, or lists of them, however nested."""
    import dask  # noqa: F401  # so that `_check` finds it

    _check()
    from dask.core import flatten

    futures = _submit(client, graph, list(flatten([keys])), options)
    packed = _packed(keys, futures)
    return _values(client, packed, list(futures.values())) if sync else packed


def _values(client: Client, packed: Any, futures: list[Future]) -> Any:
    """The values, after which the futures are let go: also when one has failed, and its traceback keeps these frames for a while."""
    if client.asynchronous:
        return _values_async(client, packed, futures)
    try:
        return client.gather(packed)
    finally:
        for future in futures:
            future.release()


async def _values_async(client: Client, packed: Any, futures: list[Future]) -> Any:
    try:
        return await client.gather(packed)
    finally:
        for future in futures:
            future.release()


def _check() -> None:
    if not _is_known():
        raise ImportError(TOO_OLD)


def _packed(keys: Any, futures: dict[Any, Future]) -> Any:
    return [_packed(key, futures) for key in keys] if isinstance(keys, list) else futures[keys]


def _submit(client: Client, graph: Any, keys: list[Any], options: TaskOptions) -> dict[Any, Future]:
    import dask

    from jupyterfut.adapters.dask_graphs import submit

    annotations: dict[str, Any] = {}
    if not isinstance(graph, dict):
        if hasattr(graph, "__dask_annotations__"):  # an expression
            annotations = graph.__dask_annotations__()
        else:  # a HighLevelGraph
            annotations = _of_layers(graph)
        graph = graph.__dask_graph__() if hasattr(graph, "__dask_graph__") else dict(graph)
    return submit(client, graph, keys, _options_of(annotations, dask.get_annotations(), options))


def _of_layers(graph: Any) -> dict[str, dict[Any, Any]]:
    """The annotations of a HighLevelGraph's layers: option -> key -> value."""
    found: dict[str, dict[Any, Any]] = {}
    for layer in getattr(graph, "layers", {}).values():
        for option, value in (layer.annotations or {}).items():
            found.setdefault(option, {}).update({key: value(key) if callable(value) else value for key in layer})
    return found


_OPTIONS = ("workers", "resources", "retries", "priority", "allow_other_workers")


def _options_of(by_key: Mapping[str, Mapping[Any, Any]], here: Mapping[str, Any], options: TaskOptions) -> Callable[[Any], TaskOptions]:
    """Which options a task has: what the call says, else what `dask.annotate` said where the task was made, else where the graph is computed."""
    said = {option: value for option in _OPTIONS if (value := getattr(options, option)) not in (None, 0, False)}
    common = {option: here[option] for option in _OPTIONS if here.get(option) is not None} | said
    for_all = make_options(**common, actor=options.actor)
    layers = {option: by_key[option] for option in _OPTIONS if by_key.get(option) and option not in said}
    if not layers:
        return lambda key: for_all
    known: dict[Any, TaskOptions] = {}

    def options_of(key: Any) -> TaskOptions:
        own = {option: values[key] for option, values in layers.items() if key in values}
        if not own:
            return for_all
        text = repr(sorted(own.items()))
        if text not in known:
            known[text] = make_options(**{**common, **own}, actor=options.actor)
        return known[text]

    return options_of
