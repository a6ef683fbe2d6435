"""The nonce search: kernels for this machine's CPU and the engine that shares its cores among many searches."""

from kale_hash_rs._native import (
    Engine,
    EngineClosedError,
    EngineStats,
    Event,
    Find,
    Job,
    JobStats,
    KernelUnavailableError,
    count_zeros,
    hash_nonce,
    kernel_hashes,
    kernels,
    usable_threads,
)

__all__ = [
    "Engine",
    "EngineClosedError",
    "EngineStats",
    "Event",
    "Find",
    "Job",
    "JobStats",
    "KernelUnavailableError",
    "count_zeros",
    "hash_nonce",
    "kernel_hashes",
    "kernels",
    "usable_threads",
]
