import { cutFrames, type Frames } from './frames.js';

/** Newest frames kept; the bytes bound them too, since one event may have megabytes. */
const RING_FRAMES = 1_000;
const RING_BYTES = 4 * 1024 * 1024;

/** The newest frames of a journal in memory, as the batches they were written in. Ids are contiguous. */
export class FrameRing {
  private batches: Frames[] = [];
  private frames = 0;
  private bytes = 0;

  push(batch: Frames): void {
    this.batches.push(batch);
    this.frames += countOf(batch);
    this.bytes += batch.bytes.length;
    let drop = 0;
    for (const oldest of this.batches) {
      if (this.frames - countOf(oldest) < RING_FRAMES && this.bytes <= RING_BYTES) break;
      this.frames -= countOf(oldest);
      this.bytes -= oldest.bytes.length;
      drop++;
    }
    if (drop > 0) this.batches.splice(0, drop);
  }

  /** Frames from `wanted` on, at most about `maxBytes`; null when the ring does not reach back so far. */
  read(wanted: number, maxBytes: number): Frames | null {
    const at = this.find(wanted);
    const first = this.batches[at];
    if (!first) return null;
    const head =
      first.firstId === wanted ? first.bytes : cutFrames(first.bytes, wanted - first.firstId).bytes;
    const picked = [head];
    let { lastId } = first;
    let size = head.length;
    for (let i = at + 1; i < this.batches.length; i++) {
      const next = this.batches[i]!;
      if (size + next.bytes.length > maxBytes) break;
      picked.push(next.bytes);
      size += next.bytes.length;
      lastId = next.lastId;
    }
    if (head === first.bytes && picked.length === 1) return first;
    return { firstId: wanted, lastId, bytes: Buffer.concat(picked, size) };
  }

  /** Place of the batch that holds this id, or -1. */
  private find(id: number): number {
    let low = 0;
    let high = this.batches.length - 1;
    while (low <= high) {
      const middle = (low + high) >> 1;
      const batch = this.batches[middle]!;
      if (id < batch.firstId) high = middle - 1;
      else if (id > batch.lastId) low = middle + 1;
      else return middle;
    }
    return -1;
  }
}

const countOf = ({ firstId, lastId }: Frames): number => lastId - firstId + 1;
