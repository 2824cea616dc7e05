import type { Hydra } from '../../support/hydra.ts'
export function documentCases(_hydra: () => Hydra): void {}
