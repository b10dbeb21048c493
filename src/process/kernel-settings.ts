import { accessSync, constants } from 'node:fs';

/**
 * Whether this process may change settings of the kernel, as root may where `/proc/sys` is not read-only. Then commands in
 * codex's sandbox may too: they have the same user, and bubblewrap does not cover these files. With `kernel.core_pattern`
 * one of them has the kernel run a program outside of every sandbox.
 */
export function mayChangeKernel(): boolean {
  try {
    accessSync('/proc/sys/kernel/core_pattern', constants.W_OK);
    return true;
  } catch {
    return false;
  }
}
