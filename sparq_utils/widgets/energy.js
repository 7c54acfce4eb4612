/* Eq. 4-5, once: what counted operations cost. */
/** Modelled joules per image by part: energy_parts_j of pricing.py, operation for operation. */
export function energyParts({ macs, acs, updates, bits, samples }, price) {
  return {
    synaptic: (macs * price.mac_j + acs * price.ac_j) / samples,
    lif: (updates * price.decay_j + updates * price.compare_j) / samples,
    memory: ((bits / 8) * price.byte_j) / samples,
  };
}
/** The parts summed, in the order in which Python adds them. */
export const energyTotal = ({ synaptic, lif, memory }) => synaptic + lif + memory;
