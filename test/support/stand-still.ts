/** This process does nothing else for so long, as one that is frozen or has no processor. */
export function standStill(ms: number): void {
  const end = performance.now() + ms;
  while (performance.now() < end);
}
