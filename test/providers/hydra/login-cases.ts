import type { Hydra } from '../../support/hydra.ts'
export function loginCases(_hydra: () => Hydra): void {}
