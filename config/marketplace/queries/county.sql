-- One county.
select county_fips, county_name, state, rating_area, population
from counties
where county_fips = :fips::text
