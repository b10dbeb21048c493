/** What is used of the package, which brings no types: an OFD lock on a whole file (fcntl F_OFD_SETLK). */
declare module 'fs-native-extensions' {
  /** Takes an exclusive lock on the open file; false: another open of it has one. Errors are the system's. */
  export function tryLock(fd: number): boolean;
}
