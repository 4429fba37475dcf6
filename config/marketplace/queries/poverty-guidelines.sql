-- The poverty guidelines of a year, by region.
select year, region, first_person, each_additional
from poverty_guidelines
where year = :year::int
order by region
