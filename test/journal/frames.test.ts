import { describe, expect, test } from 'vitest';
import { cutFrames, encodeFrames, frameEnd, gapFrames, isGapFrom } from '../../src/journal/frames.js';

describe('frames', () => {
  test('writes a frame as an id line and one data line', () => {
    const { firstId, lastId, bytes } = encodeFrames(9, ['{"a":"ä"}', '{\n"b": 1\r\n}']);
    expect([firstId, lastId]).toEqual([9, 10]);
    expect(bytes.toString()).toBe('id: 9\ndata: {"a":"ä"}\n\nid: 10\ndata: { "b": 1 }\n\n');
  });

  test('cuts frames at the borders of whole ones', () => {
    const { bytes } = encodeFrames(1, ['1', '2', '3']);
    expect(cutFrames(bytes.subarray(0, -1), 0)).toEqual({
      count: 2,
      bytes: encodeFrames(1, ['1', '2']).bytes,
    });
    expect(cutFrames(bytes, 1)).toEqual({ count: 2, bytes: encodeFrames(2, ['2', '3']).bytes });
    expect(cutFrames(bytes, 5)).toMatchObject({ count: 0 });
  });

  test('ends a frame at the next one, if it is whole and has the id', () => {
    const { bytes } = encodeFrames(41, ['1', '2']);
    const end = frameEnd(bytes, 0, 41);
    expect(end).toBe(encodeFrames(41, ['1']).bytes.length);
    expect(frameEnd(bytes, end as number, 42)).toBe(bytes.length);
    expect(frameEnd(bytes, 0, 4)).toBe('bad');
    expect(frameEnd(bytes, 0, 42)).toBe('bad');
    expect(frameEnd(bytes.subarray(0, 5), 0, 41)).toBe('part');
    expect(frameEnd(bytes, bytes.length, 43)).toBe('part');
  });

  test('writes a gap that names the ids it stands for', () => {
    const gap = gapFrames(5, 99);
    expect(gap).toMatchObject({ firstId: 5, lastId: 99 });
    expect(gap.bytes.toString()).toBe('id: 99\ndata: {"type":"x-optio-gap","from":5,"to":99}\n\n');
    expect([4, 5, 6].map((id) => isGapFrom(gap.bytes, id))).toEqual([false, true, true]);
    expect(isGapFrom(encodeFrames(1, ['{"type":"x-optio-late"}']).bytes, 1)).toBe(false);
  });
});
