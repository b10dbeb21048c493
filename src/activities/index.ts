export { createClaimActivities, type ClaimActivities } from './claim.js';
export { createHostActivities, type HostActivities } from './host.js';
export { createSharedActivities, type SharedActivities } from './shared.js';
export { createVerifyActivities, type VerifyActivities } from './verify.js';
