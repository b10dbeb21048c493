/**
 * Version of what workflow and hosts hand each other: names, arguments and answers of steps, signals of hosts. It grows
 * when one of them changes so that the other side must know; a host takes only tasks of its own version.
 */
export const ACTIVITY_PROTOCOL = 1;

/** Separates the id of an activity from the number of its try when the workflow tries it again. */
export const NEXT_TRY = '~';

/** Type of the failure of a step that an operator paused and that its workflow is to run again. */
export const ACTIVITY_PAUSED = 'ActivityPaused';
