-- The metal levels, and what share of costs each of them pays.
select metal_level, actuarial_value, description
from metal_levels
order by sort_order
