-- The metal levels, and the share of costs that each pays.
select metal_level, actuarial_value, description
from metal_levels
order by sort_order
