"""Sends many requests at once and prints the result: `REQUESTS SECONDS P99_MILLISECONDS LOST`.

Arguments: the address, the path, how many at once, how many each. Each request has a connection of its own, as most
programs make them; one that takes longer than 20 s is lost.
"""

import asyncio
import sys
import time

LIMIT = 20


async def once(address, path):
    reader, writer = await asyncio.open_connection(address, 80)
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: web.example\r\nConnection: close\r\n\r\n".encode())
        answer = await reader.read(-1)
        return answer.startswith(b"HTTP/1.1 200 ") and len(answer) > 100
    finally:
        writer.close()


async def worker(address, path, count, times):
    for _ in range(count):
        start = time.monotonic()
        try:
            well = await asyncio.wait_for(once(address, path), LIMIT)
        except (OSError, TimeoutError):
            well = False
        times.append((time.monotonic() - start, well))


async def main():
    address, path, workers, each = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    times = []
    start = time.monotonic()
    await asyncio.gather(*(worker(address, path, each, times) for _ in range(workers)))
    took = time.monotonic() - start
    durations = sorted(duration for duration, _ in times)
    lost = sum(not well for _, well in times)
    p99 = durations[min(len(durations) - 1, len(durations) * 99 // 100)]
    print(len(times), round(took, 3), round(p99 * 1000, 1), lost)


asyncio.run(main())
