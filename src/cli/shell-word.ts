/** A task id as an argument that a person can copy into a shell: quoted where that is needed, and never an option. */
export function taskWord(taskId: string): string {
  const word = /^[A-Za-z0-9._/:@%+=,-]+$/.test(taskId) ? taskId : `'${taskId.replaceAll("'", "'\\''")}'`;
  return taskId.startsWith('-') ? `-- ${word}` : word;
}
