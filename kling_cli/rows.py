"""How purchases lie in the journal's tables."""

import json
from dataclasses import asdict
from typing import Any

from kling_cli.purchase import Purchase, Stage
from kling_cli.task import Video

_TABLES = """
CREATE TABLE IF NOT EXISTS purchases (
    external_task_id TEXT PRIMARY KEY,
    fingerprint TEXT NOT NULL,
    base_url TEXT NOT NULL,
    effect_scene TEXT NOT NULL,
    stage TEXT NOT NULL,
    sender TEXT,
    task_id TEXT,
    message TEXT NOT NULL,
    images TEXT NOT NULL,
    videos TEXT NOT NULL,
    created_at REAL NOT NULL,
    updated_at REAL NOT NULL,
    finished_at REAL,
    is_current INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS files (
    path BLOB PRIMARY KEY,
    task TEXT NOT NULL,
    size INTEGER NOT NULL,
    sha256 TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX IF NOT EXISTS one_current ON purchases (fingerprint) WHERE is_current;
CREATE INDEX IF NOT EXISTS by_task_id ON purchases (task_id);
"""
# Each leads to the next version. New columns stand behind the old ones, where a row can lack them.
MIGRATIONS = (_TABLES, "ALTER TABLE purchases ADD COLUMN tag TEXT")


def flatten(purchase: Purchase) -> tuple[object, ...]:
    """Make the values of a row, in the order of the table's columns but for `is_current`."""
    return (
        purchase.external_task_id,
        purchase.fingerprint,
        purchase.base_url,
        purchase.effect_scene,
        purchase.stage,
        purchase.sender,
        purchase.task_id,
        purchase.message,
        json.dumps([dict(image) for image in purchase.images]),
        dump_videos(purchase.videos),
        purchase.created_at,
        purchase.updated_at,
        purchase.finished_at,
        purchase.tag,
    )


def unflatten(row: tuple[Any, ...]) -> Purchase:
    """Read a row; one of an older version ends before the newer columns.

    Raises:
        ValueError, TypeError: somebody else wrote it.
    """
    external_task_id, fingerprint, base_url, effect_scene, stage, sender, task_id = row[:7]
    message, images, videos, created_at, updated_at, finished_at, _is_current, *added = row[7:]
    return Purchase(
        external_task_id=external_task_id,
        fingerprint=fingerprint,
        base_url=base_url,
        effect_scene=effect_scene,
        stage=Stage(stage),
        sender=sender,
        task_id=task_id,
        message=message,
        images=tuple(json.loads(images)),
        videos=tuple(Video(**video) for video in json.loads(videos)),
        created_at=created_at,
        updated_at=updated_at,
        finished_at=finished_at,
        tag=added[0] if added else None,
    )


def dump_videos(videos: tuple[Video, ...]) -> str:
    """Make the text that a row keeps of a task's videos."""
    return json.dumps([asdict(video) for video in videos])
