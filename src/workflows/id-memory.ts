import { textBytes } from '../budgets/budgets.js';

/** The newest ids of something, each known by itself. Forgets the oldest beyond its bounds. */
export interface IdMemory {
  has(id: string): boolean;
  /** `false`: it is known already. */
  add(id: string): boolean;
}

export interface MemoryBounds {
  count: number;
  /** Of all ids as encoded JSON. */
  bytes: number;
}

/** Longer ids are remembered by a digest, so that a few of them do not push out all others. */
const LONGEST = 64;
/** Quotes and comma. */
const AROUND = 3;

/** @param ids what is remembered, oldest first: plain JSON, which the memory keeps up to date */
export function openIdMemory({ count, bytes }: MemoryBounds, ids: string[]): IdMemory {
  const known = new Set(ids);
  let size = ids.reduce((sum, id) => sum + textBytes(id) + AROUND, 0);
  const forgetOldest = () => {
    const oldest = ids.shift()!;
    known.delete(oldest);
    size -= textBytes(oldest) + AROUND;
  };
  const add = (key: string): boolean => {
    if (known.has(key)) return false;
    known.add(key);
    ids.push(key);
    size += textBytes(key) + AROUND;
    while (known.size > count || size > bytes) forgetOldest();
    return true;
  };
  return {
    has: (id) => known.has(keyOf(id)),
    add: (id) => add(keyOf(id)),
  };
}

function keyOf(id: string): string {
  if (textBytes(id) <= LONGEST) return id;
  return `#${id.length}:${digest(id, 1)}${digest(id, 2)}`;
}

/** 53 bits of a text (cyrb53, public domain): a workflow has no crypto. In base 36. */
function digest(text: string, seed: number): string {
  let a = 0xdeadbeef ^ seed;
  let b = 0x41c6ce57 ^ seed;
  for (let at = 0; at < text.length; at++) {
    const unit = text.charCodeAt(at);
    a = Math.imul(a ^ unit, 2654435761);
    b = Math.imul(b ^ unit, 1597334677);
  }
  a = Math.imul(a ^ (a >>> 16), 2246822507) ^ Math.imul(b ^ (b >>> 13), 3266489909);
  b = Math.imul(b ^ (b >>> 16), 2246822507) ^ Math.imul(a ^ (a >>> 13), 3266489909);
  return (4294967296 * (2097151 & b) + (a >>> 0)).toString(36).padStart(11, '0');
}
