"""The credential store of the Python package, driven by JSON lines: {"op", ...} in, {"ok": ...} or {"error"} out.

Everything runs in the package itself. On FerretDB, which knows neither $expr nor pipeline updates, plain operators
stand for acquire, renew, reap and list_pool, with the same effect.
"""

import asyncio
import json
import os
import sys
import tempfile
from contextlib import asynccontextmanager
from datetime import datetime, timedelta, timezone

from bson import ObjectId
from motor.motor_asyncio import AsyncIOMotorClient, AsyncIOMotorGridFSBucket
from optio_agents import seeds
from optio_codex.cred_watcher import save_back_if_changed
from optio_codex.seed_manifest import CODEX_SEED_MANIFEST, CODEX_SEED_SUFFIX, purge_seed
from optio_host.host import LocalHost


class Context:
    """What the seed engine uses of the package's ProcessContext."""

    def __init__(self, db, prefix):
        self._db, self._prefix = db, prefix

    @asynccontextmanager
    async def store_blob(self, name):
        metadata = {"processId": str(ObjectId()), "prefix": self._prefix, "name": name}
        async with AsyncIOMotorGridFSBucket(self._db).open_upload_stream(name, metadata=metadata) as stream:
            yield Writer(stream)

    @asynccontextmanager
    async def load_blob(self, blob_id):
        yield await AsyncIOMotorGridFSBucket(self._db).open_download_stream(blob_id)

    async def delete_blob(self, blob_id):
        await AsyncIOMotorGridFSBucket(self._db).delete(blob_id)


class Writer:
    def __init__(self, stream):
        self.stream, self.file_id = stream, stream._id

    async def write(self, data):
        await self.stream.write(data)


class Peer:
    def __init__(self, db, prefix, plain):
        self.db, self.prefix, self.plain = db, prefix, plain
        self.ctx = Context(db, prefix)
        self.at = {"prefix": prefix, "suffix": CODEX_SEED_SUFFIX}
        self.coll = db[f"{prefix}{CODEX_SEED_SUFFIX}"]

    async def now(self):
        return (await self.db.command("hello"))["localTime"].replace(tzinfo=timezone.utc)

    async def home(self, folder, auth=None, config=None):
        host = LocalHost(folder)
        await host.setup_workdir()
        os.makedirs(f"{host.workdir}/home/.codex")
        for name, text in (("auth.json", auth), ("config.toml", config)):
            if text is not None:
                with open(f"{host.workdir}/home/.codex/{name}", "w") as file:
                    file.write(text)
        return host

    async def capture(self, auth, config, pool):
        with tempfile.TemporaryDirectory() as folder:
            host = await self.home(folder, auth, config)
            seed_id = await seeds.capture_seed(
                self.ctx, host, manifest=CODEX_SEED_MANIFEST, suffix=CODEX_SEED_SUFFIX, encrypt=None
            )
        await seeds.assign_to_pool(self.db, **self.at, seed_id=seed_id, poolKey=pool)
        return seed_id

    async def plant(self, seed):
        with tempfile.TemporaryDirectory() as folder:
            host = await self.home(folder)
            await seeds.plant_seed(
                self.db, host, prefix=self.prefix, seed_id=seed, manifest=CODEX_SEED_MANIFEST,
                suffix=CODEX_SEED_SUFFIX, decrypt=None,
            )
            home = f"{host.workdir}/home/.codex"
            return {name: open(f"{home}/{name}").read() for name in sorted(os.listdir(home))}

    async def save_back(self, seed, auth):
        with tempfile.TemporaryDirectory() as folder:
            host = await self.home(folder, auth)
            saved = await save_back_if_changed(
                self.ctx, host, seed_id=seed, baseline=None, encrypt=None, decrypt=None
            )
            return saved is not None

    async def acquire(self, pool, holder):
        if not self.plain:
            return await seeds.acquire(self.db, **self.at, poolKey=pool, holder=holder)
        now = await self.now()
        found = await self.coll.find_one_and_update(
            {"poolKey": pool, "status": {"$ne": "dead"}, "lease.expiresAt": {"$not": {"$gt": now}}},
            {"$set": {"lease": {"holder": holder, "expiresAt": now + timedelta(seconds=60)}, "lastLeasedAt": now}},
            sort=[("lastLeasedAt", 1)],
        )
        return str(found["_id"]) if found else None

    async def renew(self, seed, holder):
        if not self.plain:
            return await seeds.renew_lease(self.db, **self.at, seed_id=seed, holder=holder)
        result = await self.coll.update_one(
            {"_id": ObjectId(seed), "lease.holder": holder},
            {"$set": {"lease.expiresAt": await self.now() + timedelta(seconds=60)}},
        )
        return result.matched_count == 1

    async def release(self, seed, holder):
        await seeds.release(self.db, **self.at, seed_id=seed, holder=holder)

    async def reap(self):
        if not self.plain:
            return await seeds.reap_expired_leases(self.db, **self.at)
        result = await self.coll.update_many(
            {"lease": {"$ne": None}, "lease.expiresAt": {"$not": {"$gt": await self.now()}}},
            {"$set": {"lease": None}},
        )
        return result.modified_count

    async def list_pool(self, pool):
        if not self.plain:
            return await seeds.list_pool(self.db, **self.at, poolKey=pool)
        now = await self.now()
        found = await self.coll.find({"poolKey": pool}).to_list(None)
        return [
            {
                "seedId": str(each["_id"]),
                "status": each.get("status", "alive"),
                "leased": bool(each.get("lease")) and each["lease"]["expiresAt"].replace(tzinfo=timezone.utc) > now,
                "metadata": each.get("metadata") or {},
            }
            for each in found
        ]

    async def mark(self, seed, status):
        await seeds.mark_seed_status(self.db, **self.at, seed_id=seed, status=status)

    async def purge(self, seed):
        class Store:
            db, prefix = self.db, self.prefix

        await purge_seed(Store, seed)


async def main():
    client = AsyncIOMotorClient(sys.argv[1])
    db = client.get_default_database()
    plain = any(name.startswith("ferretdb") for name in await db.command("buildInfo"))
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        request = json.loads(line)
        peer = Peer(db, request.pop("prefix"), plain)
        try:
            answer = {"ok": await getattr(peer, request.pop("op"))(**request)}
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer, default=lambda value: value.isoformat() if isinstance(value, datetime) else str(value)), flush=True)


asyncio.run(main())
