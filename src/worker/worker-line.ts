/** What a worker says when it is ready; of its own, so that a caller's types need nothing of what a worker is made of. */
export interface WorkerLine {
  workerPid: number;
  hostId: string;
  listenerUrl: string;
}
